-- insert --
-- The least a durable acceptance can do: the rows and their two trace lines, one statement.
WITH accepted AS (
  INSERT INTO notification (
    id, tenant, channel, priority, status, sequence, max_attempts, recipient, content,
    correlation_id, queued_at, created_at, updated_at)
  SELECT id, 'floor', 'sms', 'normal', 'queued', 2, 5, recipient, content,
         correlation_id, now(), now(), now()
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[])
      AS new (id, recipient, content, correlation_id)
  RETURNING id
)
INSERT INTO notification_event (notification_id, sequence, event)
SELECT id, event.sequence, event.name
  FROM accepted, (VALUES (1, 'created'), (2, 'queued')) AS event (sequence, name)

-- claim --
WITH claimed AS (
  UPDATE notification
     SET status = 'processing', sequence = sequence + 1, attempts = attempts + 1,
         lease_until = now() + interval '15 seconds', updated_at = now()
   WHERE id = ANY ($1::uuid[]) AND status IN :claimable
  RETURNING id, sequence, channel, recipient, content
), traced AS (
  INSERT INTO notification_event (notification_id, sequence, event)
  SELECT id, sequence, 'processing' FROM claimed
)
SELECT id, sequence, channel, recipient, content FROM claimed

-- settle --
WITH settled AS (
  UPDATE notification AS n
     SET status = 'delivered', sequence = n.sequence + 1, queued_at = NULL,
         lease_until = NULL, delivered_at = now(), updated_at = now()
    FROM unnest($1::uuid[], $2::int[]) AS outcome (id, fence)
   WHERE n.id = outcome.id AND n.id = ANY ($1::uuid[]) AND n.sequence = outcome.fence
  RETURNING n.id, n.sequence
)
INSERT INTO notification_event (notification_id, sequence, event)
SELECT id, sequence, 'delivered' FROM settled
