-- record --
-- Puts a receipt into the trace, once, whatever the status; the newest one by its provider's
-- clock is shown. The id finds the row in its partition. Of two gateways that have the same
-- receipt the second waits, looks at the row again, and finds it there. Neither `sequence` nor
-- `updated_at` changes: a claim's fence stands, and the outcome of an attempt under way counts.
-- A provider's id may be made of the recipient, so one that was erased gets none.
WITH recorded AS (
  UPDATE notification
     SET receipt_ids = array_append(receipt_ids, $2),
         receipt = CASE WHEN ((receipt ->> 'at')::timestamptz, (receipt ->> 'id')::uuid) > ($3, $2)
                        THEN receipt
                        ELSE $4::jsonb - CASE WHEN redacted_at IS NULL THEN '' ELSE 'message_id' END END
   WHERE id = $1
     AND NOT COALESCE($2 = ANY (receipt_ids), false)
     AND COALESCE(cardinality(receipt_ids), 0) < $6
  RETURNING id, tenant, channel, priority, status, attempts, sequence, updated_at, correlation_id,
            batch_id, redacted_at
), traced AS (
  INSERT INTO notification_event (notification_id, event, details)
  SELECT id, $5, $4::jsonb - ARRAY['kind', CASE WHEN redacted_at IS NULL THEN '' ELSE 'message_id' END]
    FROM recorded
)
SELECT true AS recorded, false AS repeated, * FROM recorded
UNION ALL
SELECT false, COALESCE(cardinality(receipt_ids), 0) < $6 OR $2 = ANY (receipt_ids), id, tenant, channel,
       priority, status, attempts, sequence, updated_at, correlation_id, batch_id, redacted_at
  FROM notification WHERE id = $1 AND NOT EXISTS (SELECT FROM recorded)
