-- One row per run, step, agent and so on holds what is; events hold what happened.
-- Timestamps are RFC 3339 text in UTC, lists are JSON arrays.

CREATE TABLE runs (
  run_id      TEXT PRIMARY KEY,
  status      TEXT NOT NULL CHECK (status IN ('created', 'planning', 'running', 'awaiting_guidance', 'paused',
                                              'failed', 'stopping', 'stopped', 'completed', 'closing', 'closed')),
  mode        TEXT NOT NULL,
  tickets     TEXT NOT NULL CHECK (json_valid(tickets)),
  repos       TEXT NOT NULL CHECK (json_valid(repos)),
  agents      TEXT NOT NULL CHECK (json_valid(agents)),
  strategy    TEXT NOT NULL CHECK (strategy IN ('create', 'fork', 'reuse')),
  source      TEXT,
  base_branch TEXT NOT NULL,
  dry_run     INTEGER NOT NULL CHECK (dry_run IN (0, 1)),
  created_at  TEXT NOT NULL,
  updated_at  TEXT NOT NULL,
  error       TEXT,
  policy      TEXT NOT NULL CHECK (json_valid(policy))
) STRICT;

CREATE TABLE run_tickets (
  run_id TEXT NOT NULL REFERENCES runs (run_id),
  ticket TEXT NOT NULL,
  PRIMARY KEY (ticket, run_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE steps (
  run_id        TEXT NOT NULL REFERENCES runs (run_id),
  "index"       INTEGER NOT NULL,
  kind          TEXT NOT NULL,
  name          TEXT NOT NULL,
  ticket        TEXT NOT NULL,
  repo          TEXT,
  workspace     TEXT NOT NULL,
  agent         TEXT,
  depends_on    TEXT NOT NULL CHECK (json_valid(depends_on)),
  blocking      INTEGER NOT NULL CHECK (blocking IN (0, 1)),
  status        TEXT NOT NULL CHECK (status IN ('pending', 'running', 'done', 'failed', 'skipped')),
  attempts      INTEGER NOT NULL CHECK (attempts >= 0),
  attempt_limit INTEGER NOT NULL,
  command       TEXT CHECK (command IS NULL OR json_valid(command)),
  description   TEXT NOT NULL,
  error         TEXT,
  started_at    TEXT,
  finished_at   TEXT,
  PRIMARY KEY (run_id, "index")
) STRICT, WITHOUT ROWID;

CREATE TABLE agents (
  run_id           TEXT NOT NULL REFERENCES runs (run_id),
  ticket           TEXT NOT NULL,
  name             TEXT NOT NULL,
  profile          TEXT NOT NULL,
  workspace        TEXT NOT NULL,
  session          TEXT NOT NULL,
  status           TEXT NOT NULL CHECK (status IN ('pending', 'running', 'idle', 'waiting', 'stalled', 'dead',
                                                   'stopping', 'stopped', 'completed', 'failed')),
  health_state     TEXT CHECK (health_state IN ('healthy', 'idle', 'waiting', 'stalled', 'dead', 'unknown')),
  health_reason    TEXT,
  health_source    TEXT,
  health_since     TEXT,
  exit_code        INTEGER,
  restarts         INTEGER NOT NULL,
  launch           TEXT,
  pid              INTEGER,
  due              TEXT,
  said             TEXT,
  said_at          TEXT,
  started_at       TEXT,
  last_activity_at TEXT,
  last_progress_at TEXT,
  transcript       TEXT NOT NULL,
  attach           TEXT NOT NULL CHECK (json_valid(attach)),
  PRIMARY KEY (run_id, ticket, name)
) STRICT;

CREATE TABLE workspaces (
  run_id      TEXT NOT NULL REFERENCES runs (run_id),
  ticket      TEXT NOT NULL,
  name        TEXT NOT NULL,
  path        TEXT NOT NULL,
  branch      TEXT NOT NULL,
  observed_at TEXT,
  PRIMARY KEY (run_id, ticket)
) STRICT;

CREATE TABLE workspace_repos (
  run_id      TEXT NOT NULL,
  ticket      TEXT NOT NULL,
  position    INTEGER NOT NULL,
  name        TEXT NOT NULL,
  path        TEXT NOT NULL,
  source      TEXT NOT NULL,
  branch      TEXT NOT NULL,
  base        TEXT NOT NULL,
  base_commit TEXT,
  head        TEXT,
  dirty_files INTEGER,
  ahead       INTEGER,
  behind      INTEGER,
  copied      TEXT NOT NULL CHECK (json_valid(copied)),
  PRIMARY KEY (run_id, ticket, position),
  FOREIGN KEY (run_id, ticket) REFERENCES workspaces (run_id, ticket)
) STRICT, WITHOUT ROWID;

CREATE TABLE guidance (
  id           TEXT PRIMARY KEY,
  run_id       TEXT NOT NULL REFERENCES runs (run_id),
  ticket       TEXT NOT NULL,
  agent        TEXT NOT NULL,
  question     TEXT NOT NULL,
  context      TEXT,
  choices      TEXT NOT NULL CHECK (json_valid(choices)),
  answer       TEXT,
  status       TEXT NOT NULL CHECK (status IN ('pending', 'answered', 'withdrawn')),
  asked_at     TEXT NOT NULL,
  answered_at  TEXT,
  delivered_at TEXT
) STRICT;

CREATE INDEX guidance_by_run ON guidance (run_id, status);

-- seq has no gap: it is given inside the transaction, and rows never go.
CREATE TABLE events (
  seq         INTEGER PRIMARY KEY,
  at          TEXT NOT NULL,
  run_id      TEXT REFERENCES runs (run_id),
  entity      TEXT NOT NULL CHECK (entity IN ('run', 'step', 'agent', 'guidance', 'workspace', 'merge')),
  entity_id   TEXT NOT NULL,
  type        TEXT NOT NULL,
  from_status TEXT,
  to_status   TEXT,
  message     TEXT,
  data        TEXT CHECK (data IS NULL OR json_valid(data))
) STRICT;

CREATE INDEX events_by_run ON events (run_id, seq);

CREATE TRIGGER events_are_never_updated BEFORE UPDATE ON events
BEGIN SELECT RAISE (ABORT, 'events are never updated'); END;

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE (ABORT, 'events are never deleted'); END;

-- Who may drive a run (scope: its id) or supervise the root (scope: '_root').
-- The row stays when the lease is given up, so that the fence only ever rises.
CREATE TABLE leases (
  scope      TEXT PRIMARY KEY,
  fence      INTEGER NOT NULL,
  holder     TEXT,
  pid        INTEGER,
  expires_at TEXT
) STRICT, WITHOUT ROWID;

-- Signals that came by drop box, so that none counts twice when a process dies between the two writes.
CREATE TABLE received (
  id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- The journal of a close: what was about to be moved, and whether it was decided.
CREATE TABLE closes (
  run_id     TEXT PRIMARY KEY REFERENCES runs (run_id),
  phase      TEXT NOT NULL CHECK (phase IN ('preparing', 'decided', 'merged')),
  started_at TEXT NOT NULL,
  moves      TEXT NOT NULL CHECK (json_valid(moves)),
  merges     TEXT NOT NULL CHECK (json_valid(merges))
) STRICT, WITHOUT ROWID;
