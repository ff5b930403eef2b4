// The types of metawsm's protocol. Written by `python -m metawsm_rpc.generate`; do not edit.
//
// Answers may have more members than these in later versions; what is here stays.

/** A named profile at work on one ticket of a run. */
export interface Agent {
  /** The run's id. */
  runId: string;
  /** The ticket's id. */
  ticket: string;
  /** Its name in the policy. */
  name: string;
  /** The profile that says how its program is run. */
  profile: string;
  /** The workspace's name. */
  workspace: string;
  /** The name of its tmux session. */
  session: string;
  /** Its status. */
  status: AgentStatus;
  /** Its health, null while it is not meant to be alive. */
  health: Health | null;
  /** The exit code of its program: 128 + n if signal n ended it. */
  exitCode: number | null;
  /** How often it was restarted. */
  restarts: number;
  /** The random id of its latest start. */
  launch: string | null;
  /** The process that tmux started for it. */
  pid: number | null;
  /** Why a new launch is owed: `resume`, `restart`, `iterate` or `budget`. */
  due: string | null;
  /** Its last report about itself: `working`, `waiting`, `idle` or `error`. */
  said: string | null;
  /** When it reported that. */
  saidAt: string | null;
  /** Whether the report was a signal of the agent or a hook of its program. */
  saidBy: "signal" | "hook" | null;
  /** The words of the report. */
  saidWhat: string | null;
  /** How often it was restarted automatically since a person last started it. */
  automaticRestarts: number;
  /** The program's own id of the conversation that it can continue. */
  conversation: string | null;
  /** The launch that began this conversation, or last continued it. */
  conversationLaunch: string | null;
  /** When it was last started. */
  startedAt: string | null;
  /** When its terminal last changed. */
  lastActivityAt: string | null;
  /** When it last changed a file, committed, or signalled progress. */
  lastProgressAt: string | null;
  /** The path of the file with its output. */
  transcript: string;
  /** The command line that opens its terminal. */
  attach: string[];
}

/** The statuses of an agent. */
export type AgentStatus =
  | "pending"
  | "running"
  | "idle"
  | "waiting"
  | "stalled"
  | "dead"
  | "stopping"
  | "stopped"
  | "completed"
  | "failed";

/** The agents that were acted on, as they are now. */
export interface AgentsAnswer {
  /** The agents. */
  agents: Agent[];
}

/** What `answer` takes. */
export interface AnswerParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** The question's id. */
  guidanceId: string;
  /** The answer: one of the question's choices, or any text. */
  answer: string;
}

/** What `attach` takes. */
export interface AttachParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** A run's id, or a unique prefix of it. */
  runId?: string | null;
  /** The name of an agent of the run. */
  agent: string;
  /** A ticket: without `runId` it selects its newest run, with `runId` only this ticket of the run. */
  ticket?: string | null;
}

/** The command that opens an agent's terminal. */
export interface Attachment {
  /** The command line. */
  argv: string[];
  /** The name of its tmux session. */
  session: string;
}

/** One reason why close may not merge. */
export interface Blocked {
  /** The repository's name. */
  repo: string;
  /** The ticket's id. */
  ticket: string;
  /** The reason, as an identifier. */
  reason: BlockedReason;
  /** The message, as a sentence. */
  message: string;
  /** The files in question. */
  files: string[];
}

/** The reasons that block a close. */
export type BlockedReason =
  | "uncommitted"
  | "wrong_branch"
  | "operation_in_progress"
  | "nested_repository"
  | "submodule"
  | "no_base"
  | "no_identity"
  | "unrelated"
  | "in_the_way"
  | "conflict"
  | "base_moved"
  | "not_fast_forward"
  | "locked";

/** The result of one check; `hint` says what to do when it is not `ok`. */
export interface Check {
  /** What was checked. */
  name: string;
  /** Whether the check passed. */
  ok: boolean;
  /** What was found. */
  detail: string;
  /** What to try, as a sentence. */
  hint: string | null;
}

/** The results of `doctor`. */
export interface Checks {
  /** The checks. */
  checks: Check[];
}

/** What was removed, what was kept and why, and the refs that preserve the contents of removed worktrees. */
export interface Cleaned {
  /** The removed paths. */
  removed: string[];
  /** The paths that were kept. */
  kept: Kept[];
  /** The refs that preserve the contents of removed worktrees. */
  snapshots: Snapshot[];
}

/** What `cleanup` takes. */
export interface CleanupParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** A run's id, or a unique prefix of it. */
  runId?: string | null;
  /** A ticket: without `runId` it selects its newest run, with `runId` only this ticket of the run. */
  ticket?: string | null;
  /** End sessions, but keep the worktrees. */
  keepWorkspaces?: boolean;
}

/** The result of a close, or of its dry run. */
export interface CloseAnswer {
  /** The run. */
  run: Run;
  /** The merges, one row for each ticket and repository. */
  merges: Merge[];
  /** Everything that blocks the close. */
  blocked: Blocked[];
}

/** What `close` takes. */
export interface CloseParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** A run's id, or a unique prefix of it. */
  runId?: string | null;
  /** A ticket: without `runId` it selects its newest run, with `runId` only this ticket of the run. */
  ticket?: string | null;
  /** Only report what would be merged and what blocks it. */
  dryRun?: boolean;
}

/** What `closeTicket` takes. */
export interface CloseTicketParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** The ticket's id. */
  ticket: string;
}

/** What `complete` takes. */
export interface CompleteParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** A run's id, or a unique prefix of it. */
  runId?: string | null;
  /** A ticket: without `runId` it selects its newest run, with `runId` only this ticket of the run. */
  ticket?: string | null;
  /** Only this agent; by default the whole run. */
  agent?: string | null;
}

/** What `content` takes. */
export interface ContentParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** The URI of a `metawsm:` document. */
  uri: string;
}

/** What `createTicket` takes. */
export interface CreateTicketParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** The new ticket's id. */
  ticket: string;
  /** The title; by default the id. */
  title?: string | null;
  /** Topics of the ticket. */
  topics?: string[];
}

/** What `diff` takes. */
export interface DiffParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** A run's id, or a unique prefix of it. */
  runId?: string | null;
  /** A ticket: without `runId` it selects its newest run, with `runId` only this ticket of the run. */
  ticket?: string | null;
  /** Only this repository, by name. */
  repo?: string | null;
  /** Include the changes themselves, as a patch. */
  patch?: boolean;
}

/** The work in one worktree. */
export interface Diffed {
  /** The repository's name. */
  name: string;
  /** The ticket's id. */
  ticket: string;
  /** The workspace's name. */
  workspace: string;
  /** Its absolute path. */
  path: string;
  /** The commit that it is compared with. */
  base: string;
  /** The commit that the branch is at. */
  head: string;
  /** The files that differ. */
  files: FileChange[];
  /** The changes themselves, null if not requested. */
  patch: string | null;
}

/** The work of a run, one row for each worktree. */
export interface Diffs {
  /** The work, one row for each worktree. */
  repos: Diffed[];
}

/** What `doctor` takes. */
export interface DoctorParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
}

/** A text to read, and its language as editors name it. */
export interface Document {
  /** The text; if it is very long, only its end, or for a patch its beginning. */
  text: string;
  /** Its language as editors name it: `markdown`, `diff`, `plaintext` or `json`. */
  languageId: string;
}

/** The kinds of entities that events are about. */
export type EntityKind =
  | "run"
  | "step"
  | "agent"
  | "guidance"
  | "workspace"
  | "merge";

/** The kinds of errors. */
export type ErrorKind =
  | "invalid_params"
  | "invalid_policy"
  | "run_not_found"
  | "agent_not_found"
  | "ticket_not_found"
  | "repo_not_found"
  | "guidance_not_found"
  | "step_not_found"
  | "ambiguous"
  | "not_trusted"
  | "illegal_transition"
  | "lost_lease"
  | "busy"
  | "close_blocked"
  | "dependency_missing"
  | "step_failed"
  | "host_error"
  | "store_error"
  | "internal";

/** An append-only record; `seq` has no gaps within a root. */
export interface Event {
  /** Its number; the events of a root are numbered without gaps. */
  seq: number;
  /** The time. */
  at: string;
  /** The run's id, null for events that belong to no run. */
  runId: string | null;
  /** The kind of entity that it is about. */
  entity: EntityKind;
  /** The entity's id: a run's id, a step's number, `TICKET/AGENT`, a question's id. */
  entityId: string;
  /** What happened. */
  type: string;
  /** The status before, null if no status changed. */
  from: string | null;
  /** The status after, null if no status changed. */
  to: string | null;
  /** The message, as a sentence. */
  message: string | null;
  /** Details for programs. */
  data: Record<string, unknown> | null;
}

/** An event as it is sent without being asked for. */
export interface EventNotification {
  /** Its number; the events of a root are numbered without gaps. */
  seq: number;
  /** The time. */
  at: string;
  /** The run's id, null for events that belong to no run. */
  runId: string | null;
  /** The kind of entity that it is about. */
  entity: EntityKind;
  /** The entity's id: a run's id, a step's number, `TICKET/AGENT`, a question's id. */
  entityId: string;
  /** What happened. */
  type: string;
  /** The status before, null if no status changed. */
  from: string | null;
  /** The status after, null if no status changed. */
  to: string | null;
  /** The message, as a sentence. */
  message: string | null;
  /** Details for programs. */
  data: Record<string, unknown> | null;
  /** The folder of the root that it happened at. */
  root: string;
}

/** Events in order, and the number of the root's latest event. */
export interface EventsListed {
  /** The events, in order. */
  events: Event[];
  /** The number of the latest event of the root. */
  seq: number;
}

/** What `events` takes. */
export interface EventsParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** Only events with a larger `seq`. */
  since?: number;
  /** The largest number of rows to return. */
  limit?: number | null;
  /** Only the events of this run: its id, or a unique prefix of it. */
  runId?: string | null;
}

/** What `explain` takes. */
export interface ExplainParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** A run's id, or a unique prefix of it. */
  runId?: string | null;
  /** The name of an agent of the run. */
  agent: string;
  /** A ticket: without `runId` it selects its newest run, with `runId` only this ticket of the run. */
  ticket?: string | null;
}

/** An agent's health, and all evidence, strongest first. */
export interface Explained {
  /** Its health, null while it is not meant to be alive. */
  health: Health | null;
  /** All evidence, strongest first. */
  evidence: Observation[];
}

/** One changed file: `status` is git's letter (A, M, D, R, T), or `?` for untracked. */
export interface FileChange {
  /** The file, relative to the worktree. */
  path: string;
  /** Git's letter (`A`, `M`, `D`, `R`, `T`), or `?` when it is untracked. */
  status: string;
  /** The number of added lines, null for binary files. */
  additions: number | null;
  /** The number of deleted lines, null for binary files. */
  deletions: number | null;
}

/** A question that an agent asked, and its answer. */
export interface Guidance {
  /** The question's id. */
  id: string;
  /** The run's id. */
  runId: string;
  /** The ticket's id. */
  ticket: string;
  /** The agent's name. */
  agent: string;
  /** The question. */
  question: string;
  /** Background for answering it. */
  context: string | null;
  /** The suggested answers. */
  choices: string[];
  /** The answer. */
  answer: string | null;
  /** Its status. */
  status: GuidanceStatus;
  /** When it was asked. */
  askedAt: string;
  /** When it was answered. */
  answeredAt: string | null;
  /** When the agent received the answer. */
  deliveredAt: string | null;
}

/** A question as it is now; `reason` says why the agent does not have the answer yet. */
export interface GuidanceAnswer {
  /** The question. */
  guidance: Guidance;
  /** Why the agent does not have the answer yet, as a sentence. */
  reason: string | null;
}

/** The statuses of a question. */
export type GuidanceStatus =
  | "pending"
  | "answered"
  | "withdrawn";

/** How one agent is: `source` names the evidence that decided, `since` when the state began. */
export interface Health {
  /** Its state. */
  state: HealthState;
  /** The reason, as a sentence. */
  reason: string;
  /** The evidence that decided. */
  source: string;
  /** When this state began. */
  since: string;
}

/** The states of an agent's health. */
export type HealthState =
  | "healthy"
  | "idle"
  | "waiting"
  | "stalled"
  | "dead"
  | "unknown";

/** What `iterate` takes. */
export interface IterateParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** A run's id, or a unique prefix of it. */
  runId?: string | null;
  /** The feedback for the agents. */
  feedback: string;
  /** A ticket: without `runId` it selects its newest run, with `runId` only this ticket of the run. */
  ticket?: string | null;
  /** Only this agent; by default all agents of the run. */
  agent?: string | null;
}

/** A folder that was left where it is. */
export interface Kept {
  /** Its absolute path. */
  path: string;
  /** The reason, as a sentence. */
  reason: string;
}

/** What close does, or did, to one base branch for one ticket. */
export interface Merge {
  /** The repository's name. */
  repo: string;
  /** The ticket's id. */
  ticket: string;
  /** The branch that is merged into. */
  base: string;
  /** The commit that it was at before. */
  from: string;
  /** The commit that it is at afterwards. */
  to: string;
  /** How it is merged. */
  kind: MergeKind;
}

/** How a base reaches its new commit. */
export type MergeKind =
  | "merge"
  | "fast-forward"
  | "none";

/** One piece of evidence; `says` is the state that it indicates, None when it indicates none. */
export interface Observation {
  /** What was looked at. */
  source: string;
  /** What was observed. */
  observed: string;
  /** The time. */
  at: string;
  /** The state that it indicates, null if none. */
  says: HealthState | null;
}

/** A file that was written. */
export interface PathAnswer {
  /** The file that was written. */
  path: string;
}

/** What `plan` takes. */
export interface PlanParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** The tickets to work on. */
  tickets: string[];
  /** The repositories to work in, by name; by default the root's own, else the only one. */
  repos?: string[] | null;
  /** The agents to start on each ticket, by name; by default all of the policy's. */
  agents?: string[] | null;
  /** How workspaces are created; by default as the policy says. */
  strategy?: "create" | "fork" | "reuse" | null;
  /** The workspace that is forked or reused. */
  source?: string | null;
  /** The branch that work starts from and is merged into; by default as the policy says. */
  baseBranch?: string | null;
  /** An id of your own choice, `[a-z0-9][a-z0-9-]{0,63}`; by default a random one. */
  runId?: string | null;
  /** No effect: accepted because `plan` has the parameters of `run`; it never stores anything. */
  dryRun?: boolean;
}

/** A plan that is not stored, and the problems that prevent it. */
export interface PlanShown {
  /** The steps of the plan, in order. */
  steps: Step[];
  /** What is wrong. */
  problems: Problem[];
}

/** The resolved policy of a root, None while its file is unusable. */
export interface PolicyAnswer {
  /** The policy's path. */
  path: string;
  /** The policy in effect, including all defaults; null while the file is unusable. */
  policy: Record<string, unknown> | null;
  /** What is wrong. */
  problems: Problem[];
}

/** What `policyInit` takes. */
export interface PolicyInitParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** Overwrite an existing policy. */
  force?: boolean;
}

/** What `policy` takes. */
export interface PolicyParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
}

/** Something wrong in a file or a request; `line` and `column` count from 1. */
export interface Problem {
  /** An identifier for programs. */
  code: string;
  /** The message, as a sentence. */
  message: string;
  /** What to try, as a sentence. */
  hint: string | null;
  /** The file. */
  path: string | null;
  /** The line, from 1. */
  line: number | null;
  /** The column, from 1. */
  column: number | null;
  /** A JSON pointer (RFC 6901) into the file. */
  pointer: string | null;
}

/** One repository's worktree in a workspace, as last observed. */
export interface Repo {
  /** The repository's name. */
  name: string;
  /** Its absolute path. */
  path: string;
  /** The path of the repository that the worktree belongs to. */
  source: string;
  /** The branch of the work. */
  branch: string;
  /** The branch that close merges into. */
  base: string;
  /** The commit where the work began. */
  baseCommit: string | null;
  /** The commit that the branch is at. */
  head: string | null;
  /** How many files are changed or untracked, null until observed. */
  dirtyFiles: number | null;
  /** The number of commits that only the branch has, null until observed. */
  ahead: number | null;
  /** The number of commits that only the base has, null until observed. */
  behind: number | null;
  /** The files that were copied there by the policy's `workspace.copy`. */
  copied: string[];
}

/** What `restart` takes. */
export interface RestartParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** A run's id, or a unique prefix of it. */
  runId?: string | null;
  /** A ticket: without `runId` it selects its newest run, with `runId` only this ticket of the run. */
  ticket?: string | null;
  /** Only this agent, even if it is live; by default all dead or failed ones. */
  agent?: string | null;
}

/** What `resume` takes. */
export interface ResumeParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** A run's id, or a unique prefix of it. */
  runId?: string | null;
  /** A ticket: without `runId` it selects its newest run, with `runId` only this ticket of the run. */
  ticket?: string | null;
}

/** What `retryStep` takes. */
export interface RetryStepParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** A run's id, or a unique prefix of it. */
  runId?: string | null;
  /** A ticket: without `runId` it selects its newest run, with `runId` only this ticket of the run. */
  ticket?: string | null;
  /** The step's number in the plan. */
  index: number;
}

/** What a request that failed is answered with. */
export interface RpcError {
  /** The number of the kind. */
  code: number;
  /** One sentence that says what is wrong and what to do next. */
  message: string;
  /** What a program decides by. */
  data?: {
    /** The kind of the error. */
    kind: ErrorKind;
    /** What to try, as a sentence. */
    hint: string | null;
    /** What the kind has besides: a list of `Blocked` for `close_blocked`. */
    details: unknown;
  };
}

/** Tickets × repositories × agents, compiled to a plan. */
export interface Run {
  /** The run's id. */
  runId: string;
  /** Its status. */
  status: RunStatus;
  /** Always `run` so far. */
  mode: "run";
  /** The ids of its tickets. */
  tickets: string[];
  /** The names of its repositories. */
  repos: string[];
  /** The names of its agents. */
  agents: string[];
  /** How its workspaces were created. */
  strategy: Strategy;
  /** The workspace that was forked or reused. */
  source: string | null;
  /** The requested base branch, or the policy's; the workspaces contain that of each repository. */
  baseBranch: string;
  /** Whether it was only stored, not started, when it was created. */
  dryRun: boolean;
  /** When it was created. */
  createdAt: string;
  /** When it last changed. */
  updatedAt: string;
  /** What went wrong, as a sentence. */
  error: string | null;
}

/** A run as it is now. */
export interface RunAnswer {
  /** The run. */
  run: Run;
}

/** Everything about one run, true as of event `seq`. */
export interface RunDetail {
  /** The run. */
  run: Run;
  /** The steps of the plan, in order. */
  steps: Step[];
  /** The agents. */
  agents: Agent[];
  /** A folder for each ticket. */
  workspaces: Workspace[];
  /** The questions, oldest first. */
  guidance: Guidance[];
  /** The number of the latest event that this reflects. */
  seq: number;
}

/** What `run` takes. */
export interface RunParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** The tickets to work on. */
  tickets: string[];
  /** The repositories to work in, by name; by default the root's own, else the only one. */
  repos?: string[] | null;
  /** The agents to start on each ticket, by name; by default all of the policy's. */
  agents?: string[] | null;
  /** How workspaces are created; by default as the policy says. */
  strategy?: "create" | "fork" | "reuse" | null;
  /** The workspace that is forked or reused. */
  source?: string | null;
  /** The branch that work starts from and is merged into; by default as the policy says. */
  baseBranch?: string | null;
  /** An id of your own choice, `[a-z0-9][a-z0-9-]{0,63}`; by default a random one. */
  runId?: string | null;
  /** Only store the plan, so that `resume` can run it later. */
  dryRun?: boolean;
}

/** A run whose plan is stored; execution continues. */
export interface RunStarted {
  /** The run's id. */
  runId: string;
  /** Its status. */
  status: RunStatus;
  /** The steps of the plan, in order. */
  steps: Step[];
}

/** The statuses of a run. */
export type RunStatus =
  | "created"
  | "planning"
  | "running"
  | "awaiting_guidance"
  | "paused"
  | "failed"
  | "stopping"
  | "stopped"
  | "completed"
  | "closing"
  | "closed";

/** One row of a list of runs; `agents` counts them by `total`, health and final status. */
export interface RunSummary {
  /** The run's id. */
  runId: string;
  /** Its status. */
  status: RunStatus;
  /** The ids of its tickets. */
  tickets: string[];
  /** The names of its repositories. */
  repos: string[];
  /** The number of agents, by `total`, health and final status. */
  agents: Record<string, number>;
  /** The number of open questions. */
  guidancePending: number;
  /** When it was created. */
  createdAt: string;
  /** When it last changed. */
  updatedAt: string;
  /** What went wrong, as a sentence. */
  error: string | null;
}

/** A list of runs, newest first. */
export interface RunsListed {
  /** The matching runs, newest first. */
  runs: RunSummary[];
  /** The number of matching runs without `limit` and `offset`. */
  total: number;
  /** The number of the latest event that this reflects. */
  seq: number;
}

/** What `runs` takes. */
export interface RunsParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** Only runs that have one of these tickets. */
  tickets?: string[];
  /** Only runs in one of these statuses. */
  statuses?: string[];
  /** The largest number of rows to return. */
  limit?: number | null;
  /** The number of rows to skip. */
  offset?: number;
}

/** What `send` takes. */
export interface SendParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** A run's id, or a unique prefix of it. */
  runId?: string | null;
  /** The agent to send the text to. */
  agent: string;
  /** A ticket: without `runId` it selects its newest run, with `runId` only this ticket of the run. */
  ticket?: string | null;
  /** The text to type into the agent's terminal, followed by Enter. */
  text: string;
  /** Type it even while the agent waits for a decision. */
  force?: boolean;
}

/** Whether the program took a text; `reason` says why not, or what is uncertain. */
export interface Sent {
  /** Whether the program took the text. */
  delivered: boolean;
  /** Why not, or what is uncertain, as a sentence. */
  reason: string | null;
}

/** The event of a signal, and the id of the question if it asked one. */
export interface SignalAnswer {
  /** Its event. */
  event: Event;
  /** The id of the question, if it asked one. */
  guidanceId: string | null;
}

/** What `signal` takes. */
export interface SignalParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** The run of the agent, `METAWSM_RUN_ID` in its environment. */
  runId: string;
  /** The ticket of the agent, `METAWSM_TICKET` in its environment. */
  ticket: string;
  /** The agent, `METAWSM_AGENT` in its environment. */
  agent: string;
  /** The id of the agent's start, `METAWSM_LAUNCH` in its environment; a signal of an earlier start is only recorded. */
  launch: string;
  /** `progress`, `waiting`, `working`, `guidance`, `done` or `failed`. */
  type: string;
  /** The agent's message; with `guidance`, the question. */
  message?: string | null;
  /** With `guidance`, the suggested answers. */
  choices?: string[];
  /** Details for programs; a question's `context` is shown with it. */
  data?: Record<string, unknown> | null;
}

/** What `skipStep` takes. */
export interface SkipStepParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** A run's id, or a unique prefix of it. */
  runId?: string | null;
  /** A ticket: without `runId` it selects its newest run, with `runId` only this ticket of the run. */
  ticket?: string | null;
  /** The step's number in the plan. */
  index: number;
}

/** A ref that preserves the contents of a removed worktree. */
export interface Snapshot {
  /** The repository's name. */
  repo: string;
  /** The ref. */
  ref: string;
  /** The commit that it is at. */
  commit: string;
}

/** What `status` takes. */
export interface StatusParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** A run's id, or a unique prefix of it. */
  runId?: string | null;
  /** A ticket: without `runId` it selects its newest run, with `runId` only this ticket of the run. */
  ticket?: string | null;
}

/** The smallest unit that is executed, retried or skipped. */
export interface Step {
  /** The run's id. */
  runId: string;
  /** Its number in the plan, from 0. */
  index: number;
  /** What it does. */
  kind: StepKind;
  /** Its name, for people. */
  name: string;
  /** The ticket's id. */
  ticket: string;
  /** The repository's name, for steps of one. */
  repo: string | null;
  /** The workspace's name. */
  workspace: string;
  /** The agent's name, for steps that start one. */
  agent: string | null;
  /** The numbers of the steps that must be done before it. */
  dependsOn: number[];
  /** Whether dependent steps wait until it is done; if not, its failure is only a warning. */
  blocking: boolean;
  /** Its status. */
  status: StepStatus;
  /** The number of attempts so far, without interrupted ones. */
  attempts: number;
  /** The number of attempts after which a person has to decide. */
  attemptLimit: number;
  /** The command line that it runs, if any. */
  command: string[] | null;
  /** What it will do, in a sentence. */
  description: string;
  /** What went wrong, as a sentence. */
  error: string | null;
  /** When it was last started. */
  startedAt: string | null;
  /** When it ended. */
  finishedAt: string | null;
}

/** A step as it is now. */
export interface StepAnswer {
  /** The step. */
  step: Step;
}

/** The kinds of steps. */
export type StepKind =
  | "verify_ticket"
  | "create_workspace"
  | "prepare_workspace"
  | "start_agent";

/** The statuses of a step. */
export type StepStatus =
  | "pending"
  | "running"
  | "done"
  | "failed"
  | "skipped";

/** What `stop` takes. */
export interface StopParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** A run's id, or a unique prefix of it. */
  runId?: string | null;
  /** A ticket: without `runId` it selects its newest run, with `runId` only this ticket of the run. */
  ticket?: string | null;
}

/** How a workspace is created: new, branched off an existing one, or reusing an existing one. */
export type Strategy =
  | "create"
  | "fork"
  | "reuse";

/** The result of a sync, one row for each worktree. */
export interface SyncAnswer {
  /** The results, one row for each worktree. */
  repos: Synced[];
}

/** What `sync` takes. */
export interface SyncParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** A run's id, or a unique prefix of it. */
  runId?: string | null;
  /** A ticket: without `runId` it selects its newest run, with `runId` only this ticket of the run. */
  ticket?: string | null;
  /** How the base branches are brought in. */
  strategy?: "merge" | "rebase";
}

/** The result of bringing the base into one worktree. */
export interface Synced {
  /** The repository's name. */
  name: string;
  /** The ticket's id. */
  ticket: string;
  /** Whether the branch was up to date, was updated, or conflicts. */
  result: "up-to-date" | "updated" | "conflict";
  /** The files with conflicts. */
  files: string[];
}

/** A ticket and the path of its index.md. */
export interface TicketAnswer {
  /** The ticket's id. */
  ticket: string;
  /** The path of its index.md. */
  path: string;
}

/** A ticket and its runs, newest first. */
export interface TicketRow {
  /** The ticket's id. */
  ticket: string;
  /** Its title. */
  title: string;
  /** Its status, from its index.md. */
  status: string;
  /** The path of its index.md. */
  path: string;
  /** The ids of its runs, newest first. */
  runs: string[];
  /** The line, from 1. */
  line: number;
  /** The column, from 1. */
  column: number;
}

/** The tickets of this root, and the problems of those that cannot be read. */
export interface TicketsListed {
  /** The tickets. */
  tickets: TicketRow[];
  /** The problems of tickets that cannot be read and are therefore missing. */
  problems: Problem[];
}

/** What `tickets` takes. */
export interface TicketsParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** Only tickets with this status. */
  status?: string | null;
}

/** What `transcript` takes. */
export interface TranscriptParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** A run's id, or a unique prefix of it. */
  runId?: string | null;
  /** The name of an agent of the run. */
  agent: string;
  /** A ticket: without `runId` it selects its newest run, with `runId` only this ticket of the run. */
  ticket?: string | null;
  /** The byte to start at; a negative one counts from the end. */
  offset?: number;
  /** The largest number of bytes to return. */
  limit?: number;
  /** Keep the escape sequences that the agent printed. */
  raw?: boolean;
}

/** A piece of a transcript: it begins at the byte `offset`, the next piece at `next_offset`. */
export interface TranscriptPart {
  /** The text. */
  text: string;
  /** The byte at which it begins. */
  offset: number;
  /** The byte at which the next piece begins. */
  nextOffset: number;
  /** The current length of the transcript in bytes. */
  size: number;
}

/** What `wait` takes. */
export interface WaitParams {
  /** The root, as a path or a file URI; by default that of the workspace folder. */
  root?: string | null;
  /** A run's id, or a unique prefix of it. */
  runId?: string | null;
  /** A ticket: without `runId` it selects its newest run, with `runId` only this ticket of the run. */
  ticket?: string | null;
  /** The statuses to wait for; by default those of a settled run. */
  until?: string[];
  /** The longest time to wait, in seconds; by default unlimited. */
  timeout?: number | null;
}

/** A run, and whether it reached one of the awaited statuses. */
export interface Waited {
  /** The run. */
  run: Run;
  /** Whether the run reached one of the awaited statuses. */
  reached: boolean;
}

/** A folder with a worktree of each repository, all on one branch. */
export interface Workspace {
  /** The run's id. */
  runId: string;
  /** The ticket's id. */
  ticket: string;
  /** Its name. */
  name: string;
  /** Its absolute path. */
  path: string;
  /** The branch of the work. */
  branch: string;
  /** When git was last queried. */
  observedAt: string | null;
  /** The worktrees in it. */
  repos: Repo[];
}

/** Every verb: the request `metawsm/NAME`, the command `metawsm.NAME`. */
export interface Verbs {
  /** Start agents on tickets; returns as soon as the plan is stored, while execution continues. */
  run: { params: RunParams; result: RunStarted };
  /** Show what a run would do and any problems that prevent it; stores nothing. */
  plan: { params: PlanParams; result: PlanShown };
  /** List the runs of this root, newest first. */
  runs: { params: RunsParams; result: RunsListed };
  /** Show everything about one run, as it is now. */
  status: { params: StatusParams; result: RunDetail };
  /** Wait until a run reaches one of these statuses, by default until it settles. */
  wait: { params: WaitParams; result: Waited };
  /** Resume a run; returns once that is recorded, while execution continues. */
  resume: { params: ResumeParams; result: RunAnswer };
  /** Stop a run: interrupt its steps and end its sessions; returns when that is done. */
  stop: { params: StopParams; result: RunAnswer };
  /** Declare a run, or one of its agents, completed by hand. */
  complete: { params: CompleteParams; result: RunAnswer };
  /** Start agents again: the one named, else all dead or failed ones; returns when that is done. */
  restart: { params: RestartParams; result: AgentsAnswer };
  /** Give agents feedback: it is added to their briefs, working agents receive it at once, others start again. */
  iterate: { params: IterateParams; result: RunAnswer };
  /** Retry a failed step; returns once that is recorded, while execution continues. */
  retryStep: { params: RetryStepParams; result: StepAnswer };
  /** Skip a step; steps that depend on it can run now. */
  skipStep: { params: SkipStepParams; result: StepAnswer };
  /** Type a text and Enter into an agent's terminal; not while the agent waits for a decision, unless forced. */
  send: { params: SendParams; result: Sent };
  /** Answer an agent's question. */
  answer: { params: AnswerParams; result: GuidanceAnswer };
  /** Record an agent's signal: progress, waiting, working, guidance, done or failed. */
  signal: { params: SignalParams; result: SignalAnswer };
  /** Return what an agent printed; a negative offset counts from the end. */
  transcript: { params: TranscriptParams; result: TranscriptPart };
  /** Return the command that shows an agent's terminal. */
  attach: { params: AttachParams; result: Attachment };
  /** Show the committed and uncommitted work of a run against its base branches. */
  diff: { params: DiffParams; result: Diffs };
  /** Bring the base branches into the workspaces of a run; conflicts are left to the agent or a person. */
  sync: { params: SyncParams; result: SyncAnswer };
  /** Merge all repositories of a run, or none. */
  close: { params: CloseParams; result: CloseAnswer };
  /** Remove a settled run's sessions, and its worktrees unless they are to be kept. */
  cleanup: { params: CleanupParams; result: Cleaned };
  /** Show an agent's health with all the evidence behind it. */
  explain: { params: ExplainParams; result: Explained };
  /** List what happened, in order. */
  events: { params: EventsParams; result: EventsListed };
  /** List the tickets of this root, each with its runs. */
  tickets: { params: TicketsParams; result: TicketsListed };
  /** Create a ticket. */
  createTicket: { params: CreateTicketParams; result: TicketAnswer };
  /** Set a ticket's status to complete. */
  closeTicket: { params: CloseTicketParams; result: TicketAnswer };
  /** Show the policy in effect, or everything that is wrong with it. */
  policy: { params: PolicyParams; result: PolicyAnswer };
  /** Write a starter policy. */
  policyInit: { params: PolicyInitParams; result: PathAnswer };
  /** Return the text of a document: `metawsm:/run/<runId>`, `plan`, `transcript`, `diff` and others. */
  content: { params: ContentParams; result: Document };
  /** Check that everything metawsm needs is installed. */
  doctor: { params: DoctorParams; result: Checks };
}

export type VerbName = keyof Verbs;

export const VERBS: readonly VerbName[] = [
  "run",
  "plan",
  "runs",
  "status",
  "wait",
  "resume",
  "stop",
  "complete",
  "restart",
  "iterate",
  "retryStep",
  "skipStep",
  "send",
  "answer",
  "signal",
  "transcript",
  "attach",
  "diff",
  "sync",
  "close",
  "cleanup",
  "explain",
  "events",
  "tickets",
  "createTicket",
  "closeTicket",
  "policy",
  "policyInit",
  "content",
  "doctor",
];

/** Notifications of the server, by their method. */
export interface Notifications {
  "metawsm/event": EventNotification;
}
