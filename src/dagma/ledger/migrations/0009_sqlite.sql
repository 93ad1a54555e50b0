-- The ledger on SQLite. Statements are separated by lines of two dashes.
-- SQLite has no roles: whoever can open the file can drop these triggers. Times are the caller's, on the machine that
-- the file is on. Costs are whole billionths of a USD.

CREATE TABLE calls (
    id VARCHAR(32) NOT NULL PRIMARY KEY,
    "key" VARCHAR(64) NOT NULL,
    attempt INTEGER NOT NULL,
    scope TEXT NOT NULL,
    flow_id TEXT NOT NULL,
    flow_name TEXT,
    flow_title TEXT,
    flow_version TEXT,
    backend TEXT NOT NULL,
    mode TEXT NOT NULL,
    session_id TEXT,
    job_id TEXT,
    run_id TEXT,
    step TEXT,
    partition_key TEXT,
    row_key TEXT,
    principal TEXT,
    state TEXT NOT NULL,
    begun_at DATETIME NOT NULL,
    submitted_at DATETIME,
    finished_at DATETIME,
    duration_ms BIGINT,
    model TEXT,
    input_tokens BIGINT,
    output_tokens BIGINT,
    total_tokens BIGINT,
    cost BIGINT,
    reserved_tokens BIGINT NOT NULL,
    reserved_cost BIGINT NOT NULL,
    estimated_tokens BIGINT,
    estimated_cost BIGINT,
    error_class TEXT,
    error_message TEXT,
    refusals BIGINT,
    input_characters BIGINT,
    input_hash VARCHAR(64) NOT NULL,
    answer_hash VARCHAR(64),
    input_text TEXT,
    answer_text TEXT,
    CONSTRAINT calls_key_attempt UNIQUE ("key", attempt),
    CONSTRAINT calls_mode CHECK (mode IN ('direct', 'job')),
    CONSTRAINT calls_state CHECK (
        state IN ('begun', 'submitted', 'answered', 'failed', 'unknown', 'cancelled', 'refused')
    ),
    CONSTRAINT calls_attempt CHECK (
        attempt >= 0 AND (attempt = 0) = (state = 'refused') AND (refusals IS NOT NULL) = (state = 'refused')
    ),
    CONSTRAINT calls_amounts CHECK (
        reserved_tokens BETWEEN 0 AND 1000000000000
        AND reserved_cost BETWEEN 0 AND 999999999999999999
        AND COALESCE(input_tokens, 0) BETWEEN 0 AND 1000000000000
        AND COALESCE(output_tokens, 0) BETWEEN 0 AND 1000000000000
        AND COALESCE(total_tokens, 0) BETWEEN 0 AND 1000000000000
        AND COALESCE(estimated_tokens, 0) BETWEEN 0 AND 1000000000000
        AND COALESCE(cost, 0) BETWEEN 0 AND 999999999999999999
        AND COALESCE(estimated_cost, 0) BETWEEN 0 AND 999999999999999999
        AND COALESCE(duration_ms, 0) BETWEEN 0 AND 1000000000000
        AND COALESCE(input_characters, 0) BETWEEN 0 AND 1000000000000
        AND COALESCE(refusals, 1) > 0
    ),
    CONSTRAINT calls_ends CHECK (
        (finished_at IS NULL) = (state IN ('begun', 'submitted'))
        AND (state <> 'submitted' OR (submitted_at IS NOT NULL AND job_id IS NOT NULL))
        AND (
            state NOT IN ('begun', 'submitted', 'refused')
            OR COALESCE(input_tokens, output_tokens, total_tokens, duration_ms, cost) IS NULL
        )
    ),
    CONSTRAINT calls_estimates CHECK (
        (estimated_tokens IS NULL OR (state = 'answered' AND total_tokens IS NULL))
        AND (estimated_cost IS NULL OR (state = 'answered' AND cost IS NULL))
    ),
    CONSTRAINT calls_texts CHECK (
        COALESCE(length(principal), 0) <= 200
        AND COALESCE(length(error_class), 0) <= 200
        AND COALESCE(length(error_message), 0) <= 1000
    )
)
--
CREATE INDEX calls_begun_at ON calls (begun_at)
--
CREATE INDEX calls_run_id ON calls (run_id)
--
CREATE TABLE replays (
    call_id VARCHAR(32) NOT NULL PRIMARY KEY,
    body TEXT NOT NULL,
    created_at DATETIME NOT NULL,
    expires_at DATETIME NOT NULL,
    CONSTRAINT replays_call FOREIGN KEY (call_id) REFERENCES calls (id) ON DELETE CASCADE
)
--
CREATE INDEX ix_replays_expires_at ON replays (expires_at)
--
CREATE TABLE rejections (
    call_id VARCHAR(32) NOT NULL PRIMARY KEY,
    rejected_at DATETIME NOT NULL,
    reason TEXT,
    CONSTRAINT rejections_call FOREIGN KEY (call_id) REFERENCES calls (id) ON DELETE CASCADE
)
--
CREATE TABLE usage_hours (
    flow_id TEXT NOT NULL,
    hour DATETIME NOT NULL,
    principal TEXT NOT NULL DEFAULT '',
    flow_name TEXT,
    flow_title TEXT,
    calls BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    metered_calls BIGINT NOT NULL,
    metered_tokens BIGINT NOT NULL,
    estimated_calls BIGINT NOT NULL DEFAULT 0,
    estimated_tokens BIGINT NOT NULL DEFAULT 0,
    priced_calls BIGINT NOT NULL,
    priced_cost BIGINT NOT NULL,
    estimated_costs BIGINT NOT NULL DEFAULT 0,
    estimated_cost BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (flow_id, hour, principal)
)
--
CREATE INDEX ix_usage_hours_hour ON usage_hours (hour)
--
CREATE TABLE housekeeping (
    lost_until DATETIME NOT NULL
)
--
INSERT INTO housekeeping VALUES ('1970-01-01 00:00:00.000000')
--
CREATE TABLE retention (
    keep_days INTEGER NOT NULL,
    CONSTRAINT retention_days CHECK (keep_days = 0 OR keep_days BETWEEN 30 AND 36500)
)
--
INSERT INTO retention VALUES (400)
--
CREATE TABLE servers (
    server TEXT NOT NULL,
    held_until DATETIME NOT NULL,
    next_start_at DATETIME NOT NULL,
    PRIMARY KEY (server)
)
--
CREATE TABLE shares (
    server TEXT NOT NULL,
    holder VARCHAR(32) NOT NULL,
    wants INTEGER NOT NULL,
    slots INTEGER NOT NULL,
    expires_at DATETIME NOT NULL,
    PRIMARY KEY (server, holder)
)
--
CREATE TRIGGER calls_start_begun BEFORE INSERT ON calls
WHEN NEW.state NOT IN ('begun', 'refused')
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: a call starts in the state begun');
END
--
CREATE TRIGGER calls_finished_stay BEFORE UPDATE ON calls
WHEN OLD.state IN ('answered', 'failed', 'cancelled')
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: a finished call can not be changed');
END
--
CREATE TRIGGER calls_refused_are_counted BEFORE UPDATE ON calls
WHEN OLD.state = 'refused' AND (NEW.state <> 'refused' OR NEW.refusals IS NOT OLD.refusals + 1)
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: a refused call is counted, and nothing else of it can be changed');
END
--
CREATE TRIGGER calls_go_on BEFORE UPDATE OF state ON calls
WHEN NEW.state <> OLD.state
    AND (NEW.state IN ('begun', 'refused') OR (OLD.state = 'unknown' AND NEW.state = 'submitted'))
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: a call does not become what it was before');
END
--
CREATE TRIGGER calls_identity_stays BEFORE UPDATE OF
    id, "key", attempt, scope, flow_id, flow_name, flow_title, flow_version, backend, mode, run_id, step, partition_key,
    row_key, principal, begun_at, reserved_tokens, reserved_cost, input_characters, input_hash, input_text
ON calls
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: what identifies a call can not be changed');
END
--
CREATE TRIGGER calls_young_stay BEFORE DELETE ON calls
WHEN OLD.begun_at > strftime('%Y-%m-%d %H:%M:%f', 'now', '-30 days')
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: a call younger than 30 days can not be deleted');
END
--
CREATE TRIGGER rejections_of_answers BEFORE INSERT ON rejections
WHEN NOT EXISTS (SELECT 1 FROM calls WHERE id = NEW.call_id AND state IN ('answered', 'unknown'))
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: only a call that is answered or unknown can be rejected');
END
--
CREATE TRIGGER rejections_take_the_answer AFTER INSERT ON rejections
BEGIN
    DELETE FROM replays WHERE call_id = NEW.call_id;
END
--
CREATE TRIGGER rejections_stay BEFORE UPDATE ON rejections
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: a rejection can not be changed');
END
--
CREATE TRIGGER rejections_go_with_their_call BEFORE DELETE ON rejections
WHEN EXISTS (SELECT 1 FROM calls WHERE id = OLD.call_id)
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: a rejection is deleted with its call only');
END
--
CREATE TRIGGER calls_counted_on_begin AFTER INSERT ON calls
WHEN NEW.state = 'begun'
BEGIN
    INSERT INTO usage_hours (
        flow_id, hour, principal, flow_name, flow_title,
        calls, tokens, cost, metered_calls, metered_tokens, priced_calls, priced_cost
    ) VALUES (
        NEW.flow_id, strftime('%Y-%m-%d %H:00:00.000000', NEW.begun_at), COALESCE(NEW.principal, ''),
        NEW.flow_name, NEW.flow_title,
        1, NEW.reserved_tokens, NEW.reserved_cost, 0, 0, 0, 0
    ) ON CONFLICT (flow_id, hour, principal) DO UPDATE SET
        flow_name = COALESCE(excluded.flow_name, flow_name),
        flow_title = COALESCE(excluded.flow_title, flow_title),
        calls = calls + 1,
        tokens = tokens + excluded.tokens,
        cost = cost + excluded.cost;
END
--
CREATE TRIGGER calls_counted_on_change AFTER UPDATE ON calls
WHEN OLD.state <> 'refused'
BEGIN
    UPDATE usage_hours SET
        tokens = tokens
            + COALESCE(
                NEW.total_tokens, NEW.estimated_tokens, (NEW.state NOT IN ('failed', 'cancelled')) * NEW.reserved_tokens
            )
            - COALESCE(OLD.total_tokens, OLD.estimated_tokens, OLD.reserved_tokens),
        cost = cost
            + COALESCE(NEW.cost, NEW.estimated_cost, (NEW.state NOT IN ('failed', 'cancelled')) * NEW.reserved_cost)
            - COALESCE(OLD.cost, OLD.estimated_cost, OLD.reserved_cost),
        metered_calls = metered_calls + (NEW.total_tokens IS NOT NULL) - (OLD.total_tokens IS NOT NULL),
        metered_tokens = metered_tokens + COALESCE(NEW.total_tokens, 0) - COALESCE(OLD.total_tokens, 0),
        estimated_calls = estimated_calls + (NEW.estimated_tokens IS NOT NULL),
        estimated_tokens = estimated_tokens + COALESCE(NEW.estimated_tokens, 0),
        priced_calls = priced_calls + (NEW.cost IS NOT NULL) - (OLD.cost IS NOT NULL),
        priced_cost = priced_cost + COALESCE(NEW.cost, 0) - COALESCE(OLD.cost, 0),
        estimated_costs = estimated_costs + (NEW.estimated_cost IS NOT NULL),
        estimated_cost = estimated_cost + COALESCE(NEW.estimated_cost, 0)
    WHERE flow_id = NEW.flow_id AND hour = strftime('%Y-%m-%d %H:00:00.000000', NEW.begun_at)
        AND principal = COALESCE(NEW.principal, '');
END
