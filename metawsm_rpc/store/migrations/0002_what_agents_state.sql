-- What an agent last stated: by whose word (its own signal, or a hook of its program), and in which words.
ALTER TABLE agents ADD COLUMN said_by TEXT CHECK (said_by IN ('signal', 'hook'));
ALTER TABLE agents ADD COLUMN said_what TEXT;

-- How often it was started again by itself since the last start by hand (policy, health.restart_budget).
ALTER TABLE agents ADD COLUMN automatic_restarts INTEGER NOT NULL DEFAULT 0;
