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
  /** The status it is in. */
  status: AgentStatus;
  /** The verdict on it, null while it is not meant to live. */
  health: Health | null;
  /** The exit code of its program, 128 and the signal's number when one ended it. */
  exitCode: number | null;
  /** How often it was started again. */
  restarts: number;
  /** The random id of its latest start. */
  launch: string | null;
  /** The process that tmux started for it. */
  pid: number | null;
  /** Why a new start is owed: `resume`, `restart`, `iterate` or `budget`. */
  due: string | null;
  /** What it last stated of itself: `working`, `waiting`, `idle` or `error`. */
  said: string | null;
  /** When it stated that. */
  saidAt: string | null;
  /** Whether it said so by a signal, or its program by a hook. */
  saidBy: "signal" | "hook" | null;
  /** In what words. */
  saidWhat: string | null;
  /** How often it was started again by itself since the last start by hand. */
  automaticRestarts: number;
  /** The program's own id of the conversation that it can go on with. */
  conversation: string | null;
  /** The launch that began this conversation, or last went on with it. */
  conversationLaunch: string | null;
  /** When it was last started. */
  startedAt: string | null;
  /** When its terminal last changed. */
  lastActivityAt: string | null;
  /** When it last changed a file, committed, or said that it got on. */
  lastProgressAt: string | null;
  /** The path of the file with all that it has printed. */
  transcript: string;
  /** The command line that shows its terminal. */
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
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** The question's id. */
  guidanceId: string;
  /** The answer: one of the question's choices, or any text. */
  answer: string;
}

/** What `attach` takes. */
export interface AttachParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** A run's id, or enough of its beginning. */
  runId?: string | null;
  /** The name of an agent of the run. */
  agent: string;
  /** A ticket: without `runId` its newest run is meant, beside it this part of the run. */
  ticket?: string | null;
}

/** The command that shows an agent's terminal. */
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
  /** Why, in a word. */
  reason: BlockedReason;
  /** What there is to say, as a sentence. */
  message: string;
  /** The files in question. */
  files: string[];
}

/** Why close may not merge. */
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

/** One thing that was looked at; `hint` says what to do when it is not `ok`. */
export interface Check {
  /** What was looked at. */
  name: string;
  /** Whether it is as it should be. */
  ok: boolean;
  /** What was found. */
  detail: string;
  /** What to try, as a sentence. */
  hint: string | null;
}

/** What `doctor` found. */
export interface Checks {
  /** All that was looked at. */
  checks: Check[];
}

/** What went, what stayed and why, and the refs that keep what a removed worktree still held. */
export interface Cleaned {
  /** The paths of what was removed. */
  removed: string[];
  /** What was left where it is. */
  kept: Kept[];
  /** The refs that keep what removed worktrees still held. */
  snapshots: Snapshot[];
}

/** What `cleanup` takes. */
export interface CleanupParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** A run's id, or enough of its beginning. */
  runId?: string | null;
  /** A ticket: without `runId` its newest run is meant, beside it this part of the run. */
  ticket?: string | null;
  /** End sessions and forget what is left over, but leave the worktrees. */
  keepWorkspaces?: boolean;
}

/** What a close did, or would do. */
export interface CloseAnswer {
  /** The run. */
  run: Run;
  /** What is merged, one row for each ticket and repository. */
  merges: Merge[];
  /** Everything that is in the way. */
  blocked: Blocked[];
}

/** What `close` takes. */
export interface CloseParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** A run's id, or enough of its beginning. */
  runId?: string | null;
  /** A ticket: without `runId` its newest run is meant, beside it this part of the run. */
  ticket?: string | null;
  /** Only tell what would be merged, and what is in the way. */
  dryRun?: boolean;
}

/** What `closeTicket` takes. */
export interface CloseTicketParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** The ticket's id. */
  ticket: string;
}

/** What `complete` takes. */
export interface CompleteParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** A run's id, or enough of its beginning. */
  runId?: string | null;
  /** A ticket: without `runId` its newest run is meant, beside it this part of the run. */
  ticket?: string | null;
  /** Only this agent; by default the whole run. */
  agent?: string | null;
}

/** What `content` takes. */
export interface ContentParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** The URI of a `metawsm:` document. */
  uri: string;
}

/** What `createTicket` takes. */
export interface CreateTicketParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** The new ticket's id. */
  ticket: string;
  /** What it is about; by default its id. */
  title?: string | null;
  /** Words to find it by. */
  topics?: string[];
}

/** What `diff` takes. */
export interface DiffParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** A run's id, or enough of its beginning. */
  runId?: string | null;
  /** A ticket: without `runId` its newest run is meant, beside it this part of the run. */
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
  /** Where it is, as an absolute path. */
  path: string;
  /** The commit that it is compared with. */
  base: string;
  /** The commit that the branch is at. */
  head: string;
  /** The files that differ. */
  files: FileChange[];
  /** The changes themselves, null when they were not asked for. */
  patch: string | null;
}

/** The work of a run, one row for each worktree. */
export interface Diffs {
  /** The work, one row for each worktree. */
  repos: Diffed[];
}

/** What `doctor` takes. */
export interface DoctorParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
}

/** A text to read, and the name that editors have for its language. */
export interface Document {
  /** All of the text; of what is very long only the end, or the beginning of a patch. */
  text: string;
  /** What editors call its language: `markdown`, `diff`, `plaintext` or `json`. */
  languageId: string;
}

/** What an event can happen to. */
export type EntityKind =
  | "run"
  | "step"
  | "agent"
  | "guidance"
  | "workspace"
  | "merge";

/** What went wrong, in a word. */
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
  /** Its number, without a gap over all events of the root. */
  seq: number;
  /** When it was. */
  at: string;
  /** The run's id, null for what belongs to no run. */
  runId: string | null;
  /** The kind of thing that it happened to. */
  entity: EntityKind;
  /** Which one: a run's id, a step's number, `TICKET/AGENT`, a question's id. */
  entityId: string;
  /** What happened. */
  type: string;
  /** The status before, null where none changed. */
  from: string | null;
  /** The status after, null where none changed. */
  to: string | null;
  /** What there is to say, as a sentence. */
  message: string | null;
  /** More for programs. */
  data: Record<string, unknown> | null;
}

/** An event as it is sent without being asked for. */
export interface EventNotification {
  /** Its number, without a gap over all events of the root. */
  seq: number;
  /** When it was. */
  at: string;
  /** The run's id, null for what belongs to no run. */
  runId: string | null;
  /** The kind of thing that it happened to. */
  entity: EntityKind;
  /** Which one: a run's id, a step's number, `TICKET/AGENT`, a question's id. */
  entityId: string;
  /** What happened. */
  type: string;
  /** The status before, null where none changed. */
  from: string | null;
  /** The status after, null where none changed. */
  to: string | null;
  /** What there is to say, as a sentence. */
  message: string | null;
  /** More for programs. */
  data: Record<string, unknown> | null;
  /** The folder of the root that it happened at. */
  root: string;
}

/** Events in order, and the number of the latest one of the root. */
export interface EventsListed {
  /** The events, in order. */
  events: Event[];
  /** The number of the latest event of the root. */
  seq: number;
}

/** What `events` takes. */
export interface EventsParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** Only events with a larger `seq`. */
  since?: number;
  /** How many there may be at most. */
  limit?: number | null;
  /** Only the events of this run: its id, or enough of its beginning. */
  runId?: string | null;
}

/** What `explain` takes. */
export interface ExplainParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** A run's id, or enough of its beginning. */
  runId?: string | null;
  /** The name of an agent of the run. */
  agent: string;
  /** A ticket: without `runId` its newest run is meant, beside it this part of the run. */
  ticket?: string | null;
}

/** A verdict, and everything that was looked at, strongest evidence first. */
export interface Explained {
  /** The verdict on it, null while it is not meant to live. */
  health: Health | null;
  /** All that was looked at, strongest first. */
  evidence: Observation[];
}

/** One changed file: `status` is git's letter (A, M, D, R, T), or `?` for untracked. */
export interface FileChange {
  /** The file, relative to the worktree. */
  path: string;
  /** Git's letter (`A`, `M`, `D`, `R`, `T`), or `?` when it is untracked. */
  status: string;
  /** How many lines came, null for binary files. */
  additions: number | null;
  /** How many lines went, null for binary files. */
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
  /** What is asked. */
  question: string;
  /** What one should know to answer. */
  context: string | null;
  /** The answers that are offered. */
  choices: string[];
  /** The answer. */
  answer: string | null;
  /** The status it is in. */
  status: GuidanceStatus;
  /** When it was asked. */
  askedAt: string;
  /** When it was answered. */
  answeredAt: string | null;
  /** When the agent got the answer. */
  deliveredAt: string | null;
}

/** A question as it is now; `reason` says why the agent does not have the answer yet. */
export interface GuidanceAnswer {
  /** The question. */
  guidance: Guidance;
  /** Why the agent does not have the answer yet, as a sentence. */
  reason: string | null;
}

/** What became of a question. */
export type GuidanceStatus =
  | "pending"
  | "answered"
  | "withdrawn";

/** How one agent is: `source` names the evidence that decided, `since` when the state began. */
export interface Health {
  /** How it is. */
  state: HealthState;
  /** Why it is judged so, as a sentence. */
  reason: string;
  /** The evidence that decided. */
  source: string;
  /** Since when it is so. */
  since: string;
}

/** How an agent is. */
export type HealthState =
  | "healthy"
  | "idle"
  | "waiting"
  | "stalled"
  | "dead"
  | "unknown";

/** What `iterate` takes. */
export interface IterateParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** A run's id, or enough of its beginning. */
  runId?: string | null;
  /** What the agents are told. */
  feedback: string;
  /** A ticket: without `runId` its newest run is meant, beside it this part of the run. */
  ticket?: string | null;
  /** Only this agent; by default all of the run. */
  agent?: string | null;
}

/** A folder that was left where it is. */
export interface Kept {
  /** Where it is, as an absolute path. */
  path: string;
  /** Why, as a sentence. */
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
  /** The commit that it was at. */
  from: string;
  /** The commit that it is at afterwards. */
  to: string;
  /** How. */
  kind: MergeKind;
}

/** How a base comes to its new commit. */
export type MergeKind =
  | "merge"
  | "fast-forward"
  | "none";

/** One thing that was looked at; `says` is the state that it speaks for, None when it decides nothing. */
export interface Observation {
  /** What was looked at. */
  source: string;
  /** What was seen there. */
  observed: string;
  /** When it was. */
  at: string;
  /** The state that it speaks for, null when it decides nothing. */
  says: HealthState | null;
}

/** A file that was written. */
export interface PathAnswer {
  /** The file that was written. */
  path: string;
}

/** What `plan` takes. */
export interface PlanParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** The tickets to work on. */
  tickets: string[];
  /** The repositories to work in, by name; by default the root's own, else the only one there is. */
  repos?: string[] | null;
  /** The agents to start on each ticket, by name; by default all of the policy's. */
  agents?: string[] | null;
  /** How workspaces come to be; by default as the policy says. */
  strategy?: "create" | "fork" | "reuse" | null;
  /** The workspace that is forked or reused. */
  source?: string | null;
  /** The branch where the work begins and which it is merged into; by default as the policy says. */
  baseBranch?: string | null;
  /** An id of your own choice, `[a-z0-9][a-z0-9-]{0,63}`; by default a random one. */
  runId?: string | null;
  /** Of no effect: `plan` takes what `run` takes, and stores nothing either way. */
  dryRun?: boolean;
}

/** A plan that is not stored, and what stands in its way. */
export interface PlanShown {
  /** The steps of the plan, in order. */
  steps: Step[];
  /** What is wrong. */
  problems: Problem[];
}

/** The resolved policy of a root, None while its file cannot be used. */
export interface PolicyAnswer {
  /** The policy's path. */
  path: string;
  /** The policy that is in force, with every default; null while the file cannot be used. */
  policy: Record<string, unknown> | null;
  /** What is wrong. */
  problems: Problem[];
}

/** What `policyInit` takes. */
export interface PolicyInitParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** Write over a policy that is there. */
  force?: boolean;
}

/** What `policy` takes. */
export interface PolicyParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
}

/** Something wrong in a file or a request; `line` and `column` count from 1. */
export interface Problem {
  /** A word for programs. */
  code: string;
  /** What there is to say, as a sentence. */
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
  /** Where it is, as an absolute path. */
  path: string;
  /** The path of the repository that the worktree belongs to. */
  source: string;
  /** The branch that is worked on. */
  branch: string;
  /** The branch that close merges into. */
  base: string;
  /** The commit where the work began. */
  baseCommit: string | null;
  /** The commit that the branch is at. */
  head: string | null;
  /** How many files are changed or untracked, null until observed. */
  dirtyFiles: number | null;
  /** How many commits the branch has that the base has not, null until observed. */
  ahead: number | null;
  /** How many commits the base has that the branch has not, null until observed. */
  behind: number | null;
  /** The files that the policy's `workspace.copy` put there. */
  copied: string[];
}

/** What `restart` takes. */
export interface RestartParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** A run's id, or enough of its beginning. */
  runId?: string | null;
  /** A ticket: without `runId` its newest run is meant, beside it this part of the run. */
  ticket?: string | null;
  /** Only this agent, also when it lives; by default those that are dead or failed. */
  agent?: string | null;
}

/** What `resume` takes. */
export interface ResumeParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** A run's id, or enough of its beginning. */
  runId?: string | null;
  /** A ticket: without `runId` its newest run is meant, beside it this part of the run. */
  ticket?: string | null;
}

/** What `retryStep` takes. */
export interface RetryStepParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** A run's id, or enough of its beginning. */
  runId?: string | null;
  /** A ticket: without `runId` its newest run is meant, beside it this part of the run. */
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
  /** The status it is in. */
  status: RunStatus;
  /** Always `run` so far. */
  mode: "run";
  /** The ids of its tickets. */
  tickets: string[];
  /** The names of its repositories. */
  repos: string[];
  /** The names of its agents. */
  agents: string[];
  /** How its workspaces came to be. */
  strategy: Strategy;
  /** The workspace that was forked or reused. */
  source: string | null;
  /** The branch that was asked for, or the policy's; each repository's own stands in its workspace. */
  baseBranch: string;
  /** Whether it was only stored, not started, when it was made. */
  dryRun: boolean;
  /** When it was made. */
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
  /** The questions, in the order in which they were asked. */
  guidance: Guidance[];
  /** The number of the latest event that is contained here. */
  seq: number;
}

/** What `run` takes. */
export interface RunParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** The tickets to work on. */
  tickets: string[];
  /** The repositories to work in, by name; by default the root's own, else the only one there is. */
  repos?: string[] | null;
  /** The agents to start on each ticket, by name; by default all of the policy's. */
  agents?: string[] | null;
  /** How workspaces come to be; by default as the policy says. */
  strategy?: "create" | "fork" | "reuse" | null;
  /** The workspace that is forked or reused. */
  source?: string | null;
  /** The branch where the work begins and which it is merged into; by default as the policy says. */
  baseBranch?: string | null;
  /** An id of your own choice, `[a-z0-9][a-z0-9-]{0,63}`; by default a random one. */
  runId?: string | null;
  /** Only store the plan, so that `resume` can run it later. */
  dryRun?: boolean;
}

/** A run whose plan is stored; execution goes on. */
export interface RunStarted {
  /** The run's id. */
  runId: string;
  /** The status it is in. */
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
  /** The status it is in. */
  status: RunStatus;
  /** The ids of its tickets. */
  tickets: string[];
  /** The names of its repositories. */
  repos: string[];
  /** How many agents there are, by `total`, health and final status. */
  agents: Record<string, number>;
  /** How many questions are open. */
  guidancePending: number;
  /** When it was made. */
  createdAt: string;
  /** When it last changed. */
  updatedAt: string;
  /** What went wrong, as a sentence. */
  error: string | null;
}

/** An overview of runs, newest first. */
export interface RunsListed {
  /** The runs that were asked for, newest first. */
  runs: RunSummary[];
  /** How many there are without `limit` and `offset`. */
  total: number;
  /** The number of the latest event that is contained here. */
  seq: number;
}

/** What `runs` takes. */
export interface RunsParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** Only runs that have one of these tickets. */
  tickets?: string[];
  /** Only runs in one of these statuses. */
  statuses?: string[];
  /** How many there may be at most. */
  limit?: number | null;
  /** How many to leave out. */
  offset?: number;
}

/** What `send` takes. */
export interface SendParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** A run's id, or enough of its beginning. */
  runId?: string | null;
  /** The agent to send the text to. */
  agent: string;
  /** A ticket: without `runId` its newest run is meant, beside it this part of the run. */
  ticket?: string | null;
  /** What is typed into the agent's terminal, and sent off. */
  text: string;
  /** Type it also while the agent waits for a decision. */
  force?: boolean;
}

/** Whether a text was taken by the program; `reason` says why not, or what is not sure. */
export interface Sent {
  /** Whether the program took the text. */
  delivered: boolean;
  /** Why not, or what is not sure, as a sentence. */
  reason: string | null;
}

/** The event that tells of a signal, and the id of the question that it asked. */
export interface SignalAnswer {
  /** The event that tells of it. */
  event: Event;
  /** The id of the question that was asked by it. */
  guidanceId: string | null;
}

/** What `signal` takes. */
export interface SignalParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
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
  /** What it has to say; the question, with `guidance`. */
  message?: string | null;
  /** The answers that are offered, with `guidance`. */
  choices?: string[];
  /** More for programs; a question's `context` is shown beside it. */
  data?: Record<string, unknown> | null;
}

/** What `skipStep` takes. */
export interface SkipStepParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** A run's id, or enough of its beginning. */
  runId?: string | null;
  /** A ticket: without `runId` its newest run is meant, beside it this part of the run. */
  ticket?: string | null;
  /** The step's number in the plan. */
  index: number;
}

/** A ref that keeps what a removed worktree still held. */
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
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** A run's id, or enough of its beginning. */
  runId?: string | null;
  /** A ticket: without `runId` its newest run is meant, beside it this part of the run. */
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
  /** What it is called, for people. */
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
  /** Whether what depends on it must wait until it is done; if not, its failure is only a warning. */
  blocking: boolean;
  /** The status it is in. */
  status: StepStatus;
  /** How many tries it has cost. */
  attempts: number;
  /** How many tries there may be before a person must decide. */
  attemptLimit: number;
  /** The command line that it runs, where it runs one. */
  command: string[] | null;
  /** What it will do, in a sentence. */
  description: string;
  /** What went wrong, as a sentence. */
  error: string | null;
  /** When it was last started. */
  startedAt: string | null;
  /** When it came to its end. */
  finishedAt: string | null;
}

/** A step as it is now. */
export interface StepAnswer {
  /** The step. */
  step: Step;
}

/** What a step does. */
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
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** A run's id, or enough of its beginning. */
  runId?: string | null;
  /** A ticket: without `runId` its newest run is meant, beside it this part of the run. */
  ticket?: string | null;
}

/** How a workspace comes to be: new, with another one's branches, or in another one. */
export type Strategy =
  | "create"
  | "fork"
  | "reuse";

/** What bringing the bases in did, one row for each worktree. */
export interface SyncAnswer {
  /** What it did, one row for each worktree. */
  repos: Synced[];
}

/** What `sync` takes. */
export interface SyncParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** A run's id, or enough of its beginning. */
  runId?: string | null;
  /** A ticket: without `runId` its newest run is meant, beside it this part of the run. */
  ticket?: string | null;
  /** How the bases are brought in. */
  strategy?: "merge" | "rebase";
}

/** What bringing the base into one worktree did. */
export interface Synced {
  /** The repository's name. */
  name: string;
  /** The ticket's id. */
  ticket: string;
  /** Whether the base was in already, was brought in, or conflicts. */
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

/** A ticket and the runs that it was in, newest first. */
export interface TicketRow {
  /** The ticket's id. */
  ticket: string;
  /** What it is about. */
  title: string;
  /** Its status, as its index.md has it. */
  status: string;
  /** The path of its index.md. */
  path: string;
  /** The ids of the runs that it was in, newest first. */
  runs: string[];
  /** The line, from 1. */
  line: number;
  /** The column, from 1. */
  column: number;
}

/** The tickets of this root, and what is wrong with those that cannot be read. */
export interface TicketsListed {
  /** The tickets. */
  tickets: TicketRow[];
  /** What is wrong with each ticket that cannot be read, and so is not among them. */
  problems: Problem[];
}

/** What `tickets` takes. */
export interface TicketsParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** Only tickets with this status. */
  status?: string | null;
}

/** What `transcript` takes. */
export interface TranscriptParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** A run's id, or enough of its beginning. */
  runId?: string | null;
  /** The name of an agent of the run. */
  agent: string;
  /** A ticket: without `runId` its newest run is meant, beside it this part of the run. */
  ticket?: string | null;
  /** The byte to begin at; a negative one counts from the end. */
  offset?: number;
  /** How many bytes to take at most. */
  limit?: number;
  /** Keep the escape sequences that the agent printed. */
  raw?: boolean;
}

/** A piece of a transcript, in bytes: it begins at `offset`, the next piece at `next_offset`. */
export interface TranscriptPart {
  /** The text. */
  text: string;
  /** The byte that it begins at. */
  offset: number;
  /** The byte that the next piece begins at. */
  nextOffset: number;
  /** How many bytes the transcript has now. */
  size: number;
}

/** What `wait` takes. */
export interface WaitParams {
  /** The folder that the verb is about, as a path or a file URI; by default the workspace folder. */
  root?: string | null;
  /** A run's id, or enough of its beginning. */
  runId?: string | null;
  /** A ticket: without `runId` its newest run is meant, beside it this part of the run. */
  ticket?: string | null;
  /** The run's statuses to wait for; by default those in which a run is settled. */
  until?: string[];
  /** How many seconds to wait at most; by default as long as it takes. */
  timeout?: number | null;
}

/** A run, and whether it came to one of the statuses that were waited for. */
export interface Waited {
  /** The run. */
  run: Run;
  /** Whether the run is in one of the statuses that were waited for. */
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
  /** Where it is, as an absolute path. */
  path: string;
  /** The branch that is worked on. */
  branch: string;
  /** When git was last asked. */
  observedAt: string | null;
  /** The worktrees in it. */
  repos: Repo[];
}

/** Every verb: the request `metawsm/NAME`, the command `metawsm.NAME`. */
export interface Verbs {
  /** Start agents on tickets; answers as soon as the plan is stored, while execution goes on. */
  run: { params: RunParams; result: RunStarted };
  /** Show what a run would do, and what stands in its way; stores nothing. */
  plan: { params: PlanParams; result: PlanShown };
  /** List the runs of this root, newest first. */
  runs: { params: RunsParams; result: RunsListed };
  /** Show one run whole, reconciled with the world. */
  status: { params: StatusParams; result: RunDetail };
  /** Wait until a run comes to one of these statuses; by default until it is settled. */
  wait: { params: WaitParams; result: Waited };
  /** Let a run go on; answers once that is recorded, while execution goes on. */
  resume: { params: ResumeParams; result: RunAnswer };
  /** Stop a run: cut off what is under way and end its sessions; answers when that is done. */
  stop: { params: StopParams; result: RunAnswer };
  /** Declare a run, or one of its agents, completed by hand. */
  complete: { params: CompleteParams; result: RunAnswer };
  /** Start agents again: the one named, else those that are dead or failed; answers when done. */
  restart: { params: RestartParams; result: AgentsAnswer };
  /** Let agents go on with feedback: it is added to their brief; who is at work is sent it, who is not starts again. */
  iterate: { params: IterateParams; result: RunAnswer };
  /** Try a failed step again; answers once that is recorded, while execution goes on. */
  retryStep: { params: RetryStepParams; result: StepAnswer };
  /** Go on without a step; what waited for it can run now. */
  skipStep: { params: SkipStepParams; result: StepAnswer };
  /** Type a text into an agent's terminal and send it; not while the agent waits for a decision, unless forced. */
  send: { params: SendParams; result: Sent };
  /** Answer an agent's question. */
  answer: { params: AnswerParams; result: GuidanceAnswer };
  /** Take what an agent says of itself: progress, waiting, working, guidance, done or failed. */
  signal: { params: SignalParams; result: SignalAnswer };
  /** Return what an agent printed; a negative offset counts from the end. */
  transcript: { params: TranscriptParams; result: TranscriptPart };
  /** Return the command that shows an agent's terminal. */
  attach: { params: AttachParams; result: Attachment };
  /** Show the committed and uncommitted work of a run against its bases. */
  diff: { params: DiffParams; result: Diffs };
  /** Bring the bases into the workspaces of a run; conflicts are left for agent or person. */
  sync: { params: SyncParams; result: SyncAnswer };
  /** Merge all repositories of a run, or none. */
  close: { params: CloseParams; result: CloseAnswer };
  /** Put away what a settled run left: sessions, and worktrees unless they are to be kept. */
  cleanup: { params: CleanupParams; result: Cleaned };
  /** Say why an agent is judged as it is: all that was looked at. */
  explain: { params: ExplainParams; result: Explained };
  /** List what happened, in order. */
  events: { params: EventsParams; result: EventsListed };
  /** List the tickets of this root and the runs that they were in. */
  tickets: { params: TicketsParams; result: TicketsListed };
  /** Make a ticket's folder. */
  createTicket: { params: CreateTicketParams; result: TicketAnswer };
  /** Set a ticket's status to complete. */
  closeTicket: { params: CloseTicketParams; result: TicketAnswer };
  /** Show the policy that is in force, or all that is wrong with it. */
  policy: { params: PolicyParams; result: PolicyAnswer };
  /** Write a policy to start from. */
  policyInit: { params: PolicyInitParams; result: PathAnswer };
  /** Return the text of a document: `metawsm:/run/<runId>`, `plan`, `transcript`, `diff` and others. */
  content: { params: ContentParams; result: Document };
  /** Check what metawsm needs on this machine. */
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
