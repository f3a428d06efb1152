-- try_lock --
-- A job belongs to the session that holds its lock, until that session ends.
SELECT pg_try_advisory_lock(hashtext('tocsin.scheduler'), hashtext($1))

-- ask --
SELECT 1

-- read_clock --
SELECT clock_timestamp()

-- release_due --
-- Two schedulers never release the same row. A parked retry keeps its sequence: that one was
-- never used on the bus.
WITH due AS (
  SELECT id FROM notification WHERE due_at <= now()
   ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
), released AS (
  UPDATE notification
     SET status = CASE status WHEN 'pending' THEN 'queued' ELSE status END,
         sequence = sequence + CASE status WHEN 'pending' THEN 1 ELSE 0 END,
         queued_at = now(), due_at = NULL, updated_at = now()
   WHERE id = ANY (ARRAY(SELECT id FROM due))
  RETURNING NEW.*, OLD.status AS was, extract(epoch FROM now() - OLD.due_at)::float8 AS late_seconds
), traced AS (
  INSERT INTO notification_event (notification_id, sequence, event)
  SELECT id, sequence, 'queued' FROM released WHERE was = 'pending'
), grouped AS (
  INSERT INTO outbox_group (id, notification_ids, created_at)
  SELECT $2, array_agg(id), now() FROM released HAVING count(*) > 0
)
SELECT id, tenant, channel, priority, status, attempts, sequence, updated_at, correlation_id,
       traceparent, batch_id, failure_class, provider, was, late_seconds
  FROM released

-- next_due --
SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8
  FROM notification WHERE due_at IS NOT NULL

-- late_groups --
-- Skips the groups that are being confirmed this moment. No lock outlives the statement:
-- a gateway that confirms a group must never wait for a publish of ours.
SELECT id, notification_ids FROM outbox_group
 WHERE created_at < now() - make_interval(secs => $1)
 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED

-- unclaimed --
-- A row that changed after it was queued has been claimed since, so the bus had it.
SELECT id, tenant, channel, priority, status, attempts, sequence, updated_at, correlation_id,
       traceparent, batch_id, failure_class, provider
  FROM notification
 WHERE id = ANY ($1) AND queued_at IS NOT NULL
   AND (status = 'queued' OR (status = 'retrying' AND updated_at <= queued_at))

-- confirm --
DELETE FROM outbox_group WHERE id = ANY ($1)

-- put_back --
-- A group that cannot be published makes room for the others: it, and what is in it, counts as
-- made just now, so that it is neither the oldest group nor taken for lost.
WITH put_back AS (UPDATE outbox_group SET created_at = now() WHERE id = ANY ($1))
UPDATE notification SET queued_at = now() WHERE id = ANY ($2) AND queued_at IS NOT NULL

-- confirm_late --
-- queued_at says when the bus got a message, to within the margin of the reconciliation:
-- a group that took a scheduler longer is stamped anew, in the statement that lets go of it.
WITH confirmed AS (DELETE FROM outbox_group WHERE id = ANY ($1))
UPDATE notification SET queued_at = now() WHERE id = ANY ($2) AND queued_at IS NOT NULL

-- queued_times --
SELECT id, queued_at FROM notification WHERE id = ANY ($1) AND queued_at IS NOT NULL

-- on_bus_before --
-- What was queued in a lane before a moment and is not final, a page after a key. Never looks
-- past the oldest unconfirmed group: what is in the outbox is not lost.
SELECT id, sequence, status, queued_at,
       CASE status WHEN 'queued' THEN true
                   WHEN 'processing' THEN lease_until < now()
                   WHEN 'retrying' THEN coalesce(next_retry_at, queued_at) < now() - make_interval(secs => $4)
        END AS idle
  FROM notification
 WHERE channel = $1 AND priority = $2
   AND queued_at < least($3, (SELECT min(created_at) FROM outbox_group) - make_interval(secs => $4))
   AND (queued_at, id) > ($5, $6)
 ORDER BY queued_at, id LIMIT $7

-- requeue --
-- Only rows that stand as they were seen, and never one with a live lease. The new sequence
-- breaks the fence of whoever held an expired one.
WITH requeued AS (
  UPDATE notification n
     SET status = CASE n.status WHEN 'processing' THEN 'queued' ELSE n.status END,
         sequence = n.sequence + 1, queued_at = now(), updated_at = now(),
         lost_leases = n.lost_leases + (n.status = 'processing')::integer,
         lease_until = NULL, lease_owner = NULL
    FROM unnest($2::uuid[], $3::integer[], $4::text[]) AS seen (id, sequence, why)
   WHERE n.id = ANY ($2) AND n.id = seen.id AND n.sequence = seen.sequence
     AND n.queued_at IS NOT NULL
     AND (n.status <> 'processing' OR n.lease_until < now())
  RETURNING NEW.*, OLD.status AS was, seen.why
), traced AS (
  INSERT INTO notification_event (notification_id, sequence, event, details)
  SELECT id, sequence, 'requeued', jsonb_build_object('why', why, 'was', was) FROM requeued
), grouped AS (
  INSERT INTO outbox_group (id, notification_ids, created_at)
  SELECT $1, array_agg(id), now() FROM requeued HAVING count(*) > 0
)
SELECT id, tenant, channel, priority, status, attempts, sequence, updated_at, correlation_id,
       traceparent, batch_id, failure_class, provider, was, why
  FROM requeued

-- standings --
SELECT id, sequence, status, attempts, max_attempts,
       lost_leases + (status = 'processing')::integer AS lost_leases, queued_at IS NOT NULL AS on_bus,
       extract(epoch FROM lease_until - now())::float8 AS lease_seconds,
       extract(epoch FROM now() - updated_at)::float8 AS untouched_seconds
  FROM notification WHERE id = ANY ($1)

-- fail_poisoned --
-- Checks again what made it poison; state, history and dead letter commit together.
WITH failed AS (
  UPDATE notification
     SET status = 'failed', sequence = sequence + 1, queued_at = NULL, due_at = NULL,
         lost_leases = lost_leases + (status = 'processing')::integer,
         lease_until = NULL, lease_owner = NULL, next_retry_at = NULL,
         failure_class = 'poison', failure_reason = $2, failed_at = now(), updated_at = now()
   WHERE id = ANY ($1)
     AND queued_at IS NOT NULL
     AND (status IN :claimable OR (status = 'processing' AND lease_until < now()))
     AND (attempts >= max_attempts
          OR lost_leases + (status = 'processing')::integer >= :lost_leases_at_most)
  RETURNING *
), traced AS (
  INSERT INTO notification_event (notification_id, sequence, event, details)
  SELECT id, sequence, 'failed',
         jsonb_build_object('attempt', attempts, 'outcome', failure_class)
    FROM failed
), lettered AS (
  INSERT INTO dead_letter (notification_id, sequence, tenant, channel, priority, attempts,
                           failure_class, reason, created_at)
  SELECT id, sequence, tenant, channel, priority, attempts, failure_class, failure_reason, now()
    FROM failed
)
SELECT id, tenant, channel, priority, status, attempts, sequence, updated_at, correlation_id,
       batch_id, failure_class, provider
  FROM failed

-- letters_of --
SELECT d.*, extract(epoch FROM now() - d.created_at)::float8 AS age_seconds, n.correlation_id, n.traceparent, n.batch_id, n.provider
  FROM (SELECT * FROM dead_letter
         WHERE notification_id = ANY ($1) AND published_at IS NULL) d
  LEFT JOIN notification n ON n.id = d.notification_id
 ORDER BY d.id

-- late_letters --
SELECT d.*, extract(epoch FROM now() - d.created_at)::float8 AS age_seconds, n.correlation_id, n.traceparent, n.batch_id, n.provider
  FROM (SELECT * FROM dead_letter
         WHERE published_at IS NULL AND created_at < now() - make_interval(secs => $1)
         ORDER BY created_at LIMIT $2) d
  LEFT JOIN notification n ON n.id = d.notification_id
 ORDER BY d.id

-- stamp_published --
UPDATE dead_letter SET published_at = now()
 WHERE id = ANY ($1) AND published_at IS NULL
RETURNING failure_class

-- limit_lock_wait --
-- Attaching a partition waits for whoever uses the default one, and everyone then waits
-- behind it: better to give up and come again.
SELECT set_config('lock_timeout', '500ms', true)

-- make_partitions --
SELECT tocsin_make_partitions(now(), $1)

-- default_partition_rows --
SELECT (SELECT count(*) FROM notification_default) AS notification,
       (SELECT count(*) FROM notification_event_default) AS notification_event

-- prune_idempotency_keys --
DELETE FROM idempotency_key
 WHERE id = ANY (ARRAY(SELECT id FROM idempotency_key WHERE expires_at < now()
                        ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED))
RETURNING 1

-- write_job_runs --
INSERT INTO job_run (id, job, instance, started_at, duration_seconds, runs, outcome, scanned,
                     repaired, why, error, idle)
SELECT id, job, $2, started_at, duration_seconds, runs, outcome, scanned, repaired,
       why::jsonb, error, false
  FROM unnest($1::uuid[], $3::text[], $4::timestamptz[], $5::float8[], $6::integer[],
              $7::text[], $8::bigint[], $9::bigint[], $10::text[], $11::text[])
       AS r (id, job, started_at, duration_seconds, runs, outcome, scanned, repaired, why, error)
ON CONFLICT (id) DO NOTHING

-- write_idle_runs --
-- One row a job: how often a job found nothing to do is a metric, not history.
INSERT INTO job_run (id, job, instance, started_at, duration_seconds, runs, outcome, scanned,
                     repaired, why, error, idle)
SELECT id, job, $2, started_at, duration_seconds, 1, 'finished', scanned, 0,
       jsonb_build_object(), '', true
  FROM unnest($1::uuid[], $3::text[], $4::timestamptz[], $5::float8[], $6::bigint[])
       AS r (id, job, started_at, duration_seconds, scanned)
ON CONFLICT (job) WHERE idle DO UPDATE
   SET id = excluded.id, instance = excluded.instance, started_at = excluded.started_at,
       duration_seconds = excluded.duration_seconds, scanned = excluded.scanned
 WHERE job_run.id < excluded.id

-- prune_job_runs --
-- All but the latest of each job, up to a number of each.
DELETE FROM job_run
 WHERE id = ANY (ARRAY(SELECT r.id FROM (SELECT DISTINCT job FROM job_run) j
                 CROSS JOIN LATERAL (SELECT id FROM job_run
                                      WHERE job = j.job AND NOT idle
                                      ORDER BY id DESC OFFSET $1 LIMIT $2) r))
RETURNING 1

-- backlog --
SELECT (SELECT count(*) FROM (SELECT FROM notification
                               WHERE due_at <= now() LIMIT $1) d) AS due,
       (SELECT count(*) FROM (SELECT FROM notification
                               WHERE due_at IS NOT NULL LIMIT $1) w) AS waiting,
       (SELECT count(*) FROM (SELECT FROM outbox_group LIMIT $1) g) AS outbox_groups

-- expired_weeks --
-- Weeks that ended longer ago than the ledger keeps, by the name of their Monday, oldest first.
SELECT right(c.relname, 8) AS week
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'notification'::regclass AND c.relname ~ '^notification_p[0-9]{8}$'
   AND to_date(right(c.relname, 8), 'YYYYMMDD') + 7
       <= (now() - make_interval(days => $1)) AT TIME ZONE 'UTC'
 ORDER BY 1

-- week_in_use --
SELECT tocsin_week_in_use($1, $2)

-- look_through_week --
-- A page of ids of a week: the last one, and how long the one that ended last is to be kept.
WITH page AS MATERIALIZED (
  SELECT id, tocsin_ended_at(delivered_at, failed_at, cancelled_at, updated_at) AS ended_at
    FROM notification WHERE id > $1 AND id < $2 ORDER BY id LIMIT $4
)
SELECT (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last,
       (SELECT extract(epoch FROM max(ended_at) + make_interval(days => $3) - now())::float8 FROM page) AS kept_seconds

-- detach_week --
SELECT tocsin_detach_week($1, $2)

-- drop_detached --
SELECT tocsin_drop_detached()

-- prune_default --
-- What no weekly partition took, with its trace: its id may lie in any time.
WITH gone AS (
  DELETE FROM notification_default
   WHERE id = ANY (ARRAY(
     SELECT id FROM notification_default
      WHERE status IN :final
        AND tocsin_ended_at(delivered_at, failed_at, cancelled_at, updated_at) < now() - make_interval(days => $1)
      ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED))
  RETURNING id
), forgotten AS (
  DELETE FROM notification_event_default WHERE notification_id = ANY (ARRAY(SELECT id FROM gone))
)
SELECT id FROM gone

-- prune_batches --
-- A batch stays as long as one of its notifications does.
DELETE FROM batch
 WHERE id = ANY (ARRAY(SELECT id FROM batch b
                        WHERE id < tocsin_lowest_id_at(now() - make_interval(days => $1))
                          AND NOT EXISTS (SELECT FROM notification n
                                           WHERE n.id > b.id AND n.id <= b.last_id AND n.batch_id = b.id)
                        ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED))
RETURNING 1

-- prune_dead_letters --
-- One that the DLQ has not confirmed is still to be published.
DELETE FROM dead_letter
 WHERE id = ANY (ARRAY(SELECT id FROM dead_letter
                        WHERE id < tocsin_lowest_id_at(now() - make_interval(days => $1))
                          AND published_at IS NOT NULL
                        ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED))
RETURNING 1

-- begin_walk --
INSERT INTO walk (name, reached, updated_at)
VALUES ($1, '00000000-0000-0000-0000-000000000000', now())
ON CONFLICT (name) DO UPDATE SET updated_at = now()
RETURNING reached

-- old_notifications --
-- An hour later than it could be: nearly all have ended by then, and are passed only once.
SELECT id FROM notification
 WHERE id > $1 AND id < tocsin_lowest_id_at(now() - make_interval(days => $2, hours => 1))
 ORDER BY id LIMIT $3

-- take_unredacted --
DELETE FROM unredacted
 WHERE id = ANY (ARRAY(SELECT id FROM unredacted WHERE ready_at <= now()
                        ORDER BY ready_at LIMIT $1 FOR UPDATE SKIP LOCKED))
RETURNING id

-- redact --
UPDATE notification
   SET recipient = '[redacted]', subject = NULL, content = '[redacted]', metadata = NULL,
       redacted_at = now()
 WHERE id = ANY ($1) AND status IN :final AND redacted_at IS NULL
   AND tocsin_ended_at(delivered_at, failed_at, cancelled_at, updated_at) <= now() - make_interval(days => $2)
RETURNING 1

-- put_off --
-- What has not ended cannot be old enough before that many days are over.
INSERT INTO unredacted (id, ready_at)
SELECT id, make_interval(days => $2) + CASE WHEN status IN :final
         THEN tocsin_ended_at(delivered_at, failed_at, cancelled_at, updated_at) ELSE now() END
  FROM notification WHERE id = ANY ($1) AND redacted_at IS NULL
ON CONFLICT (id) DO UPDATE SET ready_at = excluded.ready_at

-- end_walk --
UPDATE walk SET reached = $2 WHERE name = $1
