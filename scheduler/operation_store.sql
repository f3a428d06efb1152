-- next_operation --
-- The one that may go on for the longest time; nobody else works on it until this transaction ends.
SELECT * FROM operation
 WHERE state = 'running' AND ready_at <= now()
 ORDER BY ready_at LIMIT 1 FOR UPDATE SKIP LOCKED

-- next_ready --
SELECT extract(epoch FROM min(ready_at) - clock_timestamp())::float8
  FROM operation WHERE state = 'running'

-- replay_page --
-- Each letter is replayed once, whoever else looks at it: its row is locked, and must be open
-- still. What may not be sent any more is left as it is.
WITH letter AS (
  SELECT d.id, d.notification_id, d.sequence FROM dead_letter d
   WHERE d.tenant = $1 AND d.resolution IS NULL
     AND :picked_letters
     AND d.id > $9 AND d.id <= $10
   ORDER BY d.id LIMIT $11 FOR UPDATE
), replayed AS (
  UPDATE notification n
     SET status = 'queued', sequence = n.sequence + 1, attempts = 0, lost_leases = 0, queued_at = now(), due_at = NULL,
         lease_until = NULL, lease_owner = NULL, next_retry_at = NULL, failed_at = NULL,
         failure_class = NULL, failure_reason = NULL, updated_at = now()
    FROM letter
   WHERE n.id = ANY (ARRAY(SELECT notification_id FROM letter)) AND n.id = letter.notification_id
     AND n.status = 'failed' AND n.sequence = letter.sequence AND n.redacted_at IS NULL
     AND (n.expires_at IS NULL OR n.expires_at > now())
  RETURNING NEW.*, letter.id AS letter_id
), traced AS (
  INSERT INTO notification_event (notification_id, sequence, event, details)
  SELECT id, sequence, 'queued',
         jsonb_build_object('replay', $12::uuid, 'who', $13::text, 'why', $14::text)
    FROM replayed
), grouped AS (
  INSERT INTO outbox_group (id, notification_ids, created_at)
  SELECT $15::uuid, array_agg(id), now() FROM replayed HAVING count(*) > 0
), resolved AS (
  UPDATE dead_letter
     SET resolution = 'replayed', resolved_at = now(), resolved_by = $13, resolved_why = $14,
         operation_id = $12
   WHERE id = ANY (ARRAY(SELECT letter_id FROM replayed))
)
SELECT letter.id AS letter_id, n.id, tenant, channel, priority, status, attempts, n.sequence, updated_at,
       correlation_id, traceparent, batch_id, failure_class, provider
  FROM letter LEFT JOIN replayed n ON n.letter_id = letter.id
 ORDER BY letter.id

-- discard_page --
UPDATE dead_letter
   SET resolution = 'discarded', resolved_at = now(), resolved_by = $12, resolved_why = $13,
       operation_id = $14
 WHERE id = ANY (ARRAY(
  SELECT d.id FROM dead_letter d
   WHERE d.tenant = $1 AND d.resolution IS NULL
     AND :picked_letters
     AND d.id > $9 AND d.id <= $10
   ORDER BY d.id LIMIT $11 FOR UPDATE))
RETURNING id

-- advance --
-- What was not used of the rate is made up for a quarter of a second, not longer.
UPDATE operation
   SET done = done + $2, refused = refused + $3, reached = greatest(reached, $4::uuid), updated_at = now(),
       ready_at = greatest(ready_at, now() - interval '250 milliseconds') + make_interval(secs => $5)
 WHERE id = $1

-- finish --
-- Who was to be erased is forgotten here too, wherever an operator may have written it.
WITH cleaned AS (
  UPDATE operation o SET reason = replace(o.reason, f.target, '[erased]'), filter = replace(o.filter::text, f.target, '[erased]')::jsonb
    FROM operation f
   WHERE f.id = $1 AND f.target IS NOT NULL AND o.tenant = f.tenant AND o.id <> f.id
     AND (position(f.target IN o.reason) > 0 OR position(f.target IN o.filter::text) > 0)
), forgotten AS (
  UPDATE audit a SET reason = replace(a.reason, f.target, '[erased]'), details = replace(a.details::text, f.target, '[erased]')::jsonb
    FROM operation f
   WHERE f.id = $1 AND f.target IS NOT NULL AND a.tenant = f.tenant
     AND (position(f.target IN a.reason) > 0 OR position(f.target IN a.details::text) > 0)
)
UPDATE operation
   SET state = 'finished', target = NULL, updated_at = now(), finished_at = now()
 WHERE id = $1

-- erase_page --
-- A notification that could still be sent is cancelled; one that is being sent is left for the
-- next page. Of the rest, only what names nobody stays.
WITH chosen AS (
  SELECT id FROM notification
   WHERE tenant = $1
     AND recipient = $2 AND id <= $4 AND status <> 'processing'
   ORDER BY id LIMIT $5 FOR UPDATE
), erased AS (
  UPDATE notification
     SET status = CASE WHEN status IN :cancellable THEN 'cancelled' ELSE status END,
         sequence = sequence + CASE WHEN status IN :cancellable THEN 1 ELSE 0 END,
         cancelled_at = CASE WHEN status IN :cancellable THEN now() ELSE cancelled_at END,
         next_retry_at = CASE WHEN status IN :cancellable THEN NULL ELSE next_retry_at END,
         queued_at = NULL, due_at = NULL,
         recipient = '[erased]', subject = NULL, content = '[erased]', metadata = NULL,
         idempotency_key = NULL, provider_message_id = NULL, receipt = receipt - 'message_id',
         correlation_id = replace(correlation_id, $2, '[erased]'),
         failure_reason = replace(failure_reason, $2, '[erased]'),
         redacted_at = now(), updated_at = now()
   WHERE id = ANY (ARRAY(SELECT id FROM chosen))
  RETURNING NEW.*, OLD.status AS was
), cleaned AS (
  UPDATE notification_event SET details = replace(details::text, $3, '[erased]')::jsonb
   WHERE notification_id = ANY (ARRAY(SELECT id FROM erased)) AND position($3 IN details::text) > 0
), traced AS (
  INSERT INTO notification_event (notification_id, sequence, event, details)
  SELECT id, change.sequence, change.event, jsonb_build_object('operation', $6::uuid, 'who', $7::text)
    FROM erased, LATERAL (VALUES (1, erased.sequence, 'cancelled'), (2, NULL, 'erased')) AS change (place, sequence, event)
   WHERE change.event = 'erased' OR erased.was <> erased.status
   ORDER BY change.place
), resolved AS (
  UPDATE dead_letter
     SET reason = replace(reason, $2, '[erased]'),
         resolution = coalesce(resolution, 'discarded'), resolved_at = coalesce(resolved_at, now()),
         resolved_by = coalesce(resolved_by, $7), resolved_why = replace(coalesce(resolved_why, 'erased'), $2, '[erased]'),
         operation_id = coalesce(operation_id, $6)
   WHERE notification_id = ANY (ARRAY(SELECT id FROM erased))
), batched AS (
  UPDATE batch SET correlation_id = replace(correlation_id, $2, '[erased]')
   WHERE id = ANY (ARRAY(SELECT batch_id FROM erased)) AND position($2 IN correlation_id) > 0
)
SELECT id, tenant, channel, priority, status, attempts, sequence, updated_at, correlation_id,
       traceparent, batch_id, failure_class, provider, was
  FROM erased

-- left_to_erase --
SELECT EXISTS (
  SELECT FROM notification
   WHERE tenant = $1
     AND recipient = $2 AND id <= $3)

-- erase_answers --
-- What keys were answered, a page after a key. A key goes on standing for its request, so
-- sending that again makes nothing new; what was answered is gone.
WITH page AS (
  SELECT id FROM idempotency_key WHERE id > $4 ORDER BY id LIMIT $5
), erased AS (
  UPDATE idempotency_key
     SET response = convert_to(json_build_object('id', resource_id, 'recipient', '[erased]')::text, 'UTF8'),
         key = CASE WHEN position($2 IN key) > 0 THEN 'erased:' || id ELSE key END,
         correlation_id = replace(correlation_id, $2, '[erased]')
   WHERE id = ANY (ARRAY(SELECT id FROM page)) AND tenant = $1
     AND (position(convert_to($3, 'UTF8') IN response) > 0 OR position($2 IN key) > 0
          OR position($2 IN correlation_id) > 0)
)
SELECT id FROM page ORDER BY id DESC LIMIT 1
