-- commit_group --
-- Commits a whole group or nothing. A submission with an idempotency key is stored only if
-- its key was free or had expired; the keys that were won are returned, by resource.
-- Keys are locked in one order everywhere, so two gateways cannot deadlock over them; the
-- second waits until the first has committed, and loses.
-- What other services compare with the ledger's clock is stamped by the ledger's clock.
WITH reserved AS (
  INSERT INTO idempotency_key AS held
    (tenant, endpoint, key, body_hash, resource_id, response, correlation_id, created_at, expires_at)
  SELECT tenant, endpoint, key, body_hash, resource_id, response, correlation_id, $3, expires_at
    FROM unnest($4::text[], $5::text[], $6::text[], $7::bytea[], $8::uuid[], $9::bytea[], $10::text[], $11::timestamptz[])
      AS reservation (tenant, endpoint, key, body_hash, resource_id, response, correlation_id, expires_at)
   ORDER BY tenant, endpoint, key
  ON CONFLICT (tenant, endpoint, key) DO UPDATE
    SET body_hash = excluded.body_hash, resource_id = excluded.resource_id,
        response = excluded.response, correlation_id = excluded.correlation_id,
        created_at = excluded.created_at, expires_at = excluded.expires_at
    WHERE held.expires_at <= excluded.created_at
  RETURNING resource_id
), fresh AS MATERIALIZED (
  SELECT * FROM unnest($12::uuid[], $13::text[], $14::text[], $15::text[], $16::int[], $17::text[], $18::text[], $19::text[],
                       $20::text[], $21::text[], $22::uuid[], $23::text[], $24::text[], $25::timestamptz[],
                       $26::timestamptz[], $27::timestamptz[], $28::uuid[], $29::uuid[])
    AS new (id, tenant, channel, priority, max_attempts, recipient, subject, content,
            correlation_id, traceparent, batch_id, idempotency_key, metadata, due_at,
            scheduled_at, expires_at, template_id, reservation_id)
   WHERE reservation_id IS NULL OR reservation_id IN (SELECT resource_id FROM reserved)
), stored AS (
  INSERT INTO notification
    (id, tenant, channel, priority, status, sequence, max_attempts, recipient, subject, content,
     correlation_id, traceparent, batch_id, idempotency_key, metadata, queued_at, due_at,
     scheduled_at, expires_at, template_id, created_at, updated_at)
  SELECT id, tenant, channel, priority, CASE WHEN due_at IS NULL THEN 'queued' ELSE 'pending' END, 2,
         max_attempts, recipient, subject, content, correlation_id, traceparent, batch_id,
         idempotency_key, metadata::jsonb, CASE WHEN due_at IS NULL THEN now() END, due_at,
         scheduled_at, expires_at, template_id, uuid_extract_timestamp(id), uuid_extract_timestamp(id)
    FROM fresh
), traced AS (
  INSERT INTO notification_event (notification_id, sequence, event)
  SELECT id, 1, 'created' FROM fresh
  UNION ALL
  SELECT id, 2, CASE WHEN due_at IS NULL THEN 'queued' ELSE 'pending' END FROM fresh
  ORDER BY 2
), batched AS (
  INSERT INTO batch (id, tenant, size, last_id, correlation_id, created_at)
  SELECT id, tenant, size, last_id, correlation_id, uuid_extract_timestamp(id)
    FROM unnest($30::uuid[], $31::text[], $32::int[], $33::uuid[], $34::text[], $35::uuid[])
      AS new (id, tenant, size, last_id, correlation_id, reservation_id)
   WHERE reservation_id IS NULL OR reservation_id IN (SELECT resource_id FROM reserved)
), outboxed AS (
  INSERT INTO outbox_group (id, notification_ids, created_at)
  SELECT $1, array_agg(id), now() FROM fresh WHERE due_at IS NULL HAVING count(*) > 0
), confirmed AS (
  DELETE FROM outbox_group WHERE id = ANY($2::uuid[])
)
SELECT resource_id FROM reserved

-- forget_groups --
-- Removes outbox groups that the bus has confirmed.
DELETE FROM outbox_group WHERE id = ANY($1::uuid[])

-- find_key --
-- Whose key this is, while it may be used. That it was used is noted once a minute.
WITH found AS (
  SELECT id, tenant, role, name, expires_at FROM api_key
   WHERE secret_hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
), seen AS (
  UPDATE api_key SET last_used_at = now()
   WHERE id IN (SELECT id FROM found)
     AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
)
SELECT id, tenant, role, name, expires_at FROM found

-- find_answer --
-- What an idempotency key has been answered, unless it has expired by $4, by the clock
-- that set when it does.
SELECT body_hash, response, correlation_id
  FROM idempotency_key
 WHERE tenant = $1 AND endpoint = $2 AND key = $3 AND expires_at > $4

-- find_notification --
SELECT id, channel, recipient, content, status, priority, attempts, max_attempts, created_at,
       updated_at, correlation_id, batch_id, template_id, idempotency_key, metadata,
       scheduled_at, expires_at, next_retry_at, failure_reason, failure_class, provider,
       provider_message_id, last_attempted_at, delivered_at, failed_at, cancelled_at,
       receipt
  FROM notification
 WHERE tenant = $1 AND id = $2

-- find_batch --
SELECT id, size, last_id, correlation_id, created_at FROM batch WHERE tenant = $1 AND id = $2

-- find_batch_members --
-- Members have ids between their batch's and its last: one short range of the primary key.
SELECT id, channel, recipient, content, status, priority, attempts, max_attempts, created_at,
       updated_at, correlation_id, batch_id, template_id, idempotency_key, metadata,
       scheduled_at, expires_at, next_retry_at, failure_reason, failure_class, provider,
       provider_message_id, last_attempted_at, delivered_at, failed_at, cancelled_at,
       receipt
  FROM notification
 WHERE tenant = $1 AND id > $2 AND id <= $3 AND batch_id = $2
 ORDER BY id

-- find_member_ids --
SELECT id FROM notification
 WHERE tenant = $1 AND id > $2 AND id <= $3 AND batch_id = $2
 ORDER BY id

-- find_standings --
-- Where notifications stand now.
SELECT id AS notification_id, status, batch_id, attempts, updated_at AS at, sequence, receipt
  FROM notification
 WHERE tenant = $1 AND id = ANY($2::uuid[])

-- find_changes_after --
-- The changes of status that each notification has been through since a sequence. One that was
-- queued again after its dispatcher died changed its status too; a spared attempt is not counted.
SELECT n.id AS notification_id,
       CASE e.event WHEN 'requeued' THEN 'queued' ELSE e.event END AS status,
       n.batch_id,
       CASE WHEN e.sequence = n.sequence THEN n.attempts
            WHEN e.event = 'queued' AND e.details ? 'attempt' THEN (e.details ->> 'attempt')::integer - 1
            ELSE COALESCE((e.details ->> 'attempt')::integer, 0) END AS attempts,
       uuid_extract_timestamp(e.id) AS at,
       e.sequence
  FROM unnest($2::uuid[], $3::integer[]) AS seen (id, sequence)
  JOIN notification n ON n.id = seen.id AND n.id = ANY($2) AND n.tenant = $1
  JOIN notification_event e ON e.notification_id = n.id AND e.notification_id = ANY($2)
   AND e.sequence > seen.sequence
 WHERE e.event NOT IN ('created', 'requeued') OR e.event = 'requeued' AND e.details ->> 'was' = 'processing'
 ORDER BY e.sequence

-- find_trace --
-- Oldest first; one line without an event stands for a notification without a trace.
SELECT n.correlation_id, e.id, e.event, e.details, uuid_extract_timestamp(e.id) AS created_at
  FROM notification n
  LEFT JOIN notification_event e ON e.notification_id = n.id AND e.notification_id = $2
 WHERE n.tenant = $1 AND n.id = $2
 ORDER BY e.id

-- list_notifications --
-- Newest first. Looks at no more rows than there are down to the horizon, which is so many rows
-- below where the page begins, whatever the filters let through; the horizon is NULL when the
-- rows end before it. There is always a line; its id is NULL when nothing was found.
WITH horizon AS MATERIALIZED (
  SELECT (SELECT id FROM notification WHERE tenant = $1 AND id < $2 AND id >= $3
           ORDER BY id DESC OFFSET $4 LIMIT 1) AS id
)
SELECT horizon.id AS horizon, page.*
  FROM horizon
  LEFT JOIN LATERAL (
         SELECT * FROM notification
          WHERE tenant = $1 AND id < $2 AND id >= $3
            AND id >= COALESCE(horizon.id, $3)
            AND ($6::text IS NULL OR status = $6)
            AND ($7::text IS NULL OR channel = $7)
            AND ($8::text IS NULL OR priority = $8)
            AND ($9::uuid IS NULL OR batch_id = $9)
            AND ($10::text IS NULL OR recipient = $10)
            AND ($11::text IS NULL OR correlation_id = $11)
            AND ($12::text IS NULL OR idempotency_key = $12)
            AND ($13::text IS NULL OR left(encode(sha256(convert_to(recipient, 'UTF8')), 'hex'), 16) = $13)
          ORDER BY id DESC LIMIT $5) AS page ON true
 ORDER BY page.id DESC

-- find_keyed --
-- What an idempotency key that is still remembered has made: a notification, or a batch's members.
SELECT made.*
  FROM idempotency_key k
  CROSS JOIN LATERAL (
         SELECT n.* FROM notification n WHERE n.id = k.resource_id AND n.tenant = $1
         UNION ALL
         SELECT n.* FROM batch b JOIN notification n ON n.id > b.id AND n.id <= b.last_id AND n.batch_id = b.id
          WHERE b.id = k.resource_id AND b.tenant = $1 AND n.tenant = $1) AS made
 WHERE k.tenant = $1 AND k.endpoint = ANY($2::text[]) AND k.key = $3
 ORDER BY made.id DESC LIMIT $4

-- cancel --
-- A claim and a cancel of one row wait for each other and then look again: one of them wins.
WITH cancelled AS (
  UPDATE notification
     SET status = 'cancelled', sequence = sequence + 1, queued_at = NULL, due_at = NULL,
         next_retry_at = NULL, cancelled_at = now(), updated_at = now()
   WHERE tenant = $1 AND id = $2 AND status IN :cancellable
  RETURNING *
), traced AS (
  INSERT INTO notification_event (notification_id, sequence, event)
  SELECT id, sequence, 'cancelled' FROM cancelled
)
SELECT * FROM cancelled

-- reserve --
-- Waits for whoever is using the key at this moment; no row when it has an answer.
INSERT INTO idempotency_key AS held
  (tenant, endpoint, key, body_hash, resource_id, response, correlation_id, created_at, expires_at)
VALUES ($1, $2, $3, $4, uuidv7(), '', $5, now(), $6)
ON CONFLICT (tenant, endpoint, key) DO UPDATE
  SET body_hash = excluded.body_hash, resource_id = excluded.resource_id,
      response = excluded.response, correlation_id = excluded.correlation_id,
      created_at = excluded.created_at, expires_at = excluded.expires_at
  WHERE held.expires_at <= excluded.created_at
RETURNING resource_id

-- remember --
UPDATE idempotency_key SET response = $4, correlation_id = $5
 WHERE tenant = $1 AND endpoint = $2 AND key = $3

-- create_template --
-- No row when the name is taken.
INSERT INTO template (tenant, id, name, channel, body, subject, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, uuid_extract_timestamp($2), uuid_extract_timestamp($2))
ON CONFLICT (tenant, name) DO NOTHING
RETURNING id, name, channel, body, subject, created_at, updated_at

-- list_templates --
SELECT id, name, channel, body, subject, created_at, updated_at
  FROM template WHERE tenant = $1 AND id < $2
 ORDER BY id DESC LIMIT $3

-- find_templates --
SELECT id, name, channel, body, subject, created_at, updated_at
  FROM template WHERE tenant = $1 AND id = ANY($2::uuid[])

-- replace_template --
UPDATE template SET name = $3, channel = $4, body = $5, subject = $6, updated_at = clock_timestamp()
 WHERE tenant = $1 AND id = $2
RETURNING id, name, channel, body, subject, created_at, updated_at

-- delete_template --
-- In use: a notification made from it is not final yet.
WITH used AS (
  SELECT FROM notification
   WHERE tenant = $1 AND template_id = $2 AND (queued_at IS NOT NULL OR due_at IS NOT NULL)
   LIMIT 1
), deleted AS (
  DELETE FROM template WHERE tenant = $1 AND id = $2 AND NOT EXISTS (SELECT FROM used)
  RETURNING id
)
SELECT EXISTS (SELECT FROM used) AS used, EXISTS (SELECT FROM deleted) AS deleted

-- count_failed --
-- Dead letters of the last minute: their ids hold their times.
SELECT count(*) AS failed FROM dead_letter
 WHERE id >= tocsin_lowest_id_at(now() - interval '1 minute')

-- measure_latency --
-- From acceptance to delivery, of notifications delivered in the last ten minutes. Looks at the
-- newest rows and, since those wait while there is a backlog, at the rows before the oldest one
-- that is still queued; at no more than $2 of each.
WITH newest AS (
  SELECT id, created_at, scheduled_at, delivered_at FROM notification
   WHERE id >= $1 ORDER BY id DESC LIMIT $2
), frontier AS (
  SELECT min(oldest.id::text)::uuid AS id
    FROM unnest($3::text[], $4::text[]) AS lane (channel, priority), LATERAL (
         SELECT id FROM notification
          WHERE channel = lane.channel AND priority = lane.priority
            AND queued_at IS NOT NULL AND status = 'queued'
          ORDER BY queued_at LIMIT 1) AS oldest
), before AS (
  SELECT id, created_at, scheduled_at, delivered_at FROM notification
   WHERE id >= $1 AND id < (SELECT id FROM frontier) ORDER BY id DESC LIMIT $2
), delivered AS (
  SELECT extract(epoch FROM delivered_at - GREATEST(created_at, scheduled_at))::float8 AS seconds
    FROM (SELECT * FROM newest UNION SELECT * FROM before) AS looked_at
   WHERE delivered_at > now() - interval '10 minutes'
)
SELECT percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY seconds) AS seconds
  FROM delivered
