-- begin --
-- A control is about to be set; until it is known whether it was, the entry is pending.
INSERT INTO audit (tenant, id, action, target, who, reason, at, effect, details, control_key, revision)
VALUES ($1, $2, $3, $4, $5, $6, now(), 'pending', $7::jsonb, $8, $9)
RETURNING *

-- record --
-- Something was done in this very transaction.
INSERT INTO audit (tenant, id, action, target, who, reason, at, effect, details)
VALUES ($1, $2, $3, $4, $5, $6, now(), 'done', $7::jsonb)
RETURNING *

-- hold --
-- While this transaction is open, nobody else decides what came of the entry.
SELECT id FROM audit WHERE id = $1 AND effect = 'pending' FOR UPDATE

-- settle --
UPDATE audit SET effect = $2, details = coalesce($3::jsonb, details)
 WHERE id = $1 AND effect = 'pending'
RETURNING *

-- announced --
UPDATE audit SET announced_at = now() WHERE id = $1

-- left_behind --
-- What nobody works on any more although it is unsettled or was not announced, oldest first.
SELECT * FROM audit
 WHERE announced_at IS NULL AND effect <> 'failed' AND at < now() - make_interval(secs => $1)
 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED

-- list_entries --
-- Newest first, below a key; with $5, those of every tenant.
SELECT * FROM audit
 WHERE (tenant = $1 OR $5::boolean) AND id < $2 AND ($4::text IS NULL OR action = $4)
 ORDER BY id DESC LIMIT $3

-- list_runs --
-- Runs of the scheduler's jobs, newest first.
SELECT job, started_at, duration_seconds, outcome, scanned, repaired, why, error, instance, runs, idle
  FROM job_run
 WHERE $1::text IS NULL OR job = $1
 ORDER BY id DESC LIMIT $2
