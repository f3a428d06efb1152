-- hold_keys --
-- Takes the keys that are free or had expired when their submission was accepted, and returns
-- who holds each one now. Whoever is committing one of them this moment is waited for.
INSERT INTO idempotency_key AS held
  (tenant, endpoint, key, body_hash, resource_id, response, correlation_id, created_at, expires_at)
SELECT tenant, endpoint, key, body_hash, resource_id, response, correlation_id, created_at, expires_at
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::uuid[], $6::bytea[], $7::text[],
              $8::timestamptz[], $9::timestamptz[])
    AS spooled (tenant, endpoint, key, body_hash, resource_id, response, correlation_id, created_at, expires_at)
 ORDER BY tenant, endpoint, key
ON CONFLICT (tenant, endpoint, key) DO UPDATE
  SET (body_hash, resource_id, response, correlation_id, created_at, expires_at) = (
      SELECT winner.* FROM (
        SELECT excluded.body_hash, excluded.resource_id, excluded.response,
               excluded.correlation_id, excluded.created_at, excluded.expires_at
         WHERE held.expires_at <= excluded.created_at
        UNION ALL
        SELECT held.body_hash, held.resource_id, held.response,
               held.correlation_id, held.created_at, held.expires_at
         WHERE held.expires_at > excluded.created_at) AS winner)
RETURNING tenant, endpoint, key, resource_id, body_hash

-- store_spooled --
-- Stores what the ledger does not have yet, and returns that. A commit that was given up as
-- unanswered may come about at any time with the same ids: whichever is first is the one.
-- A duplicate is cancelled as it is stored, so that its id is known and its trace says why.
-- The trace begins when the notification was accepted, unless that is still to come by the
-- ledger's clock.
WITH spooled AS MATERIALIZED (
  SELECT * FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::text[], $9::text[],
                       $10::text[], $11::text[], $12::uuid[], $13::text[], $14::text[], $15::timestamptz[],
                       $16::timestamptz[], $17::timestamptz[], $18::uuid[], $19::uuid[], $20::text[])
    AS new (id, tenant, channel, priority, max_attempts, recipient, subject, content,
            correlation_id, traceparent, batch_id, idempotency_key, metadata, due_at,
            scheduled_at, expires_at, template_id, duplicate_of, why)
), stored AS (
  INSERT INTO notification
    (id, tenant, channel, priority, status, sequence, max_attempts, recipient, subject, content,
     correlation_id, traceparent, batch_id, idempotency_key, metadata, queued_at, due_at,
     scheduled_at, expires_at, template_id, created_at, updated_at, cancelled_at)
  SELECT id, tenant, channel, priority,
         CASE WHEN duplicate_of IS NOT NULL THEN 'cancelled' WHEN due_at IS NULL THEN 'queued' ELSE 'pending' END,
         CASE WHEN duplicate_of IS NULL THEN 2 ELSE 3 END,
         max_attempts, recipient, subject, content, correlation_id, traceparent, batch_id,
         idempotency_key, metadata::jsonb,
         CASE WHEN duplicate_of IS NULL AND due_at IS NULL THEN now() END,
         CASE WHEN duplicate_of IS NULL THEN due_at END,
         scheduled_at, expires_at, template_id, uuid_extract_timestamp(id), now(),
         CASE WHEN duplicate_of IS NOT NULL THEN now() END
    FROM spooled ORDER BY id
  ON CONFLICT (id) DO NOTHING
  RETURNING *
), traced AS (
  INSERT INTO notification_event (notification_id, id, sequence, event, details)
  SELECT id, uuidv7(least(created_at - now(), interval '0')), 1, 'created', jsonb_build_object('spooled', true)
    FROM stored
  UNION ALL
  SELECT id, uuidv7(), 2, CASE WHEN spooled.due_at IS NULL THEN 'queued' ELSE 'pending' END, NULL
    FROM stored JOIN spooled USING (id)
  UNION ALL
  SELECT id, uuidv7(), 3, 'cancelled', jsonb_build_object('why', why, 'duplicate_of', duplicate_of)
    FROM stored JOIN spooled USING (id) WHERE duplicate_of IS NOT NULL
  ORDER BY 3
), batched AS (
  INSERT INTO batch (id, tenant, size, last_id, correlation_id, created_at)
  SELECT id, tenant, size, last_id, correlation_id, uuid_extract_timestamp(id)
    FROM unnest($21::uuid[], $22::text[], $23::int[], $24::uuid[], $25::text[])
      AS new (id, tenant, size, last_id, correlation_id)
  ON CONFLICT (id) DO NOTHING
), grouped AS (
  INSERT INTO outbox_group (id, notification_ids, created_at)
  SELECT $1, array_agg(id), now() FROM stored WHERE status = 'queued' HAVING count(*) > 0
)
SELECT id, tenant, channel, priority, status, attempts, sequence, updated_at, correlation_id,
       traceparent, batch_id, failure_class, provider
  FROM stored
