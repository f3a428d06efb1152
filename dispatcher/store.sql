-- claim --
-- Leases what may be sent now, each row to one dispatcher, and returns all that sending needs.
-- Rows that are final, cancelled, parked, not yet due, expired, out of attempts or under a
-- lease are left out, and so are suspects. `sequence` is the claim's fence. The quarter of a second allows for a
-- message that the bus brings a moment before its row is due.
WITH claimed AS (
  UPDATE notification
     SET status = 'processing',
         sequence = sequence + 1,
         attempts = attempts + 1,
         lease_until = now() + make_interval(secs => $2),
         lease_owner = $3,
         next_retry_at = NULL,
         last_attempted_at = now(),
         updated_at = now()
   WHERE id = ANY($1)
     AND queued_at IS NOT NULL
     AND status IN :claimable
     AND lost_leases = 0
     AND (next_retry_at IS NULL OR next_retry_at <= now() + interval '250 milliseconds')
     AND (expires_at IS NULL OR expires_at > now())
     AND attempts < max_attempts
  RETURNING id, sequence, attempts, max_attempts, tenant, channel, priority, recipient, subject,
            content, correlation_id, traceparent, batch_id, expires_at, updated_at
), traced AS (
  INSERT INTO notification_event (notification_id, sequence, event, details)
  SELECT id, sequence, 'processing', jsonb_build_object('attempt', attempts, 'dispatcher', $3::text)
    FROM claimed
)
SELECT * FROM claimed

-- claim_suspects --
-- Claims, in the same way, of those whose dispatcher was lost before as many as there is room
-- for, the least suspicious first. One that was lost now is counted here.
WITH suspect AS (
  SELECT id, lost_leases + (status = 'processing')::integer AS lost
    FROM notification
   WHERE id = ANY($1)
     AND queued_at IS NOT NULL
     AND (status IN :claimable
          AND lost_leases > 0
          AND (next_retry_at IS NULL OR next_retry_at <= now() + interval '250 milliseconds')
          OR status = 'processing' AND lease_until <= now())
     AND (expires_at IS NULL OR expires_at > now())
     AND attempts < max_attempts
   ORDER BY id
   FOR UPDATE SKIP LOCKED
), weighed AS (
  SELECT s.id, s.lost,
         sum(w.weight) OVER (ORDER BY w.weight, s.id) AS together
    FROM suspect s
    JOIN unnest($4::integer[]) WITH ORDINALITY AS w (weight, lost) ON w.lost = s.lost
), claimed AS (
  UPDATE notification AS n
     SET status = 'processing',
         sequence = n.sequence + 1,
         attempts = n.attempts + 1,
         lost_leases = w.lost,
         lease_until = now() + make_interval(secs => $2),
         lease_owner = $3,
         next_retry_at = NULL,
         last_attempted_at = now(),
         updated_at = now()
    FROM weighed AS w
   WHERE n.id = w.id
     AND n.id = ANY($1)
     AND w.together <= $5
  RETURNING n.id, n.sequence, n.attempts, n.max_attempts, n.tenant, n.channel, n.priority,
            n.recipient, n.subject, n.content, n.correlation_id, n.traceparent, n.batch_id,
            n.expires_at, n.updated_at, n.lost_leases
), traced AS (
  INSERT INTO notification_event (notification_id, sequence, event, details)
  SELECT id, sequence, 'processing',
         jsonb_build_object('attempt', attempts, 'dispatcher', $3::text, 'lost_leases', lost_leases)
    FROM claimed
)
SELECT * FROM claimed

-- adopt --
-- Finds the leases of a claim that was committed although its answer never came: they are this
-- process's own, and unknown to it. Renews and returns them as the claim would have. A lease
-- that has ended since is still its owner's until somebody else claims the row: no send was
-- begun under it, so a ledger that hangs for long costs no attempt.
UPDATE notification
   SET lease_until = now() + make_interval(secs => $2)
 WHERE id = ANY($1)
   AND status = 'processing'
   AND lease_owner = $3
   AND (expires_at IS NULL OR expires_at > now())
RETURNING id, sequence, attempts, max_attempts, tenant, channel, priority, recipient, subject,
          content, correlation_id, traceparent, batch_id, expires_at, now() AS updated_at,
          lost_leases

-- look --
-- Says why rows were not claimed. Waits are in seconds from now.
SELECT id,
       status,
       status IN :final AS final,
       queued_at IS NOT NULL AS on_bus,
       COALESCE(expires_at <= now(), false) AS expired,
       attempts >= max_attempts
         OR lost_leases + (status = 'processing')::integer >= :lost_leases_at_most AS exhausted,
       lost_leases + (status = 'processing')::integer > 0 AS suspect,
       extract(epoch FROM lease_until - now())::float8 AS lease_seconds,
       extract(epoch FROM next_retry_at - now())::float8 AS wait_seconds
  FROM notification
 WHERE id = ANY($1)

-- give_up --
-- Fails what may not be attempted again: it has expired, or its last attempt ended with its
-- dispatcher and not with an outcome, or too many did. The dead letter commits with it.
WITH given_up AS (
  UPDATE notification
     SET status = 'failed',
         sequence = sequence + 1,
         failure_class = CASE WHEN expires_at <= now() THEN 'expired' ELSE 'poison' END,
         failure_reason = CASE WHEN expires_at <= now()
                               THEN 'it expired before it could be sent'
                               WHEN lost_leases + (status = 'processing')::integer >= :lost_leases_at_most
                               THEN 'its dispatcher ended while sending it, time and again'
                               ELSE 'its last attempt ended with the dispatcher that made it' END,
         lost_leases = lost_leases + (status = 'processing')::integer,
         queued_at = NULL,
         due_at = NULL,
         next_retry_at = NULL,
         lease_until = NULL,
         lease_owner = NULL,
         failed_at = now(),
         updated_at = now()
   WHERE id = ANY($1)
     AND queued_at IS NOT NULL
     AND (status IN :claimable OR status = 'processing' AND lease_until <= now())
     AND (expires_at <= now() OR attempts >= max_attempts
          OR lost_leases + (status = 'processing')::integer >= :lost_leases_at_most)
  RETURNING id, sequence, attempts, tenant, channel, priority, correlation_id, batch_id, provider,
            failure_class, failure_reason, updated_at
), traced AS (
  INSERT INTO notification_event (notification_id, sequence, event, details)
  SELECT id, sequence, 'failed', jsonb_build_object('attempt', attempts, 'outcome', failure_class)
    FROM given_up
), dead AS (
  INSERT INTO dead_letter (notification_id, sequence, tenant, channel, priority, attempts,
                           failure_class, reason, created_at)
  SELECT id, sequence, tenant, channel, priority, attempts, failure_class, failure_reason, now()
    FROM given_up
)
SELECT id, sequence, attempts, tenant, channel, priority, correlation_id, batch_id, provider,
       failure_class, updated_at
  FROM given_up

-- settle --
-- Writes outcomes, their trace and their dead letters together. An outcome counts only while
-- the fence of its claim is unchanged; what is not returned came too late. An unchanged
-- sequence means that the status is still 'processing'. Saying so as well would cost a lot: the
-- planner takes processing rows for rare and compares each row with each outcome (measured with
-- 500: 25 ms instead of 7).
WITH outcome AS (
  SELECT *
    FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::boolean[], $5::timestamptz[],
                $6::boolean[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[])
      AS o (id, fence, status, spared, retry_at, parked, provider, provider_message_id,
            failure_class, failure_reason, details)
), settled AS (
  UPDATE notification AS n
     SET status = o.status,
         sequence = n.sequence + 1,
         attempts = n.attempts - o.spared::integer,
         queued_at = CASE WHEN o.status IN :final OR o.parked THEN NULL ELSE n.queued_at END,
         due_at = CASE WHEN o.parked THEN o.retry_at END,
         next_retry_at = o.retry_at,
         lease_until = NULL,
         lease_owner = NULL,
         provider = COALESCE(o.provider, n.provider),
         provider_message_id = COALESCE(o.provider_message_id, n.provider_message_id),
         failure_class = CASE WHEN o.spared THEN n.failure_class ELSE o.failure_class END,
         failure_reason = CASE WHEN o.spared THEN n.failure_reason ELSE o.failure_reason END,
         delivered_at = CASE WHEN o.status = 'delivered' THEN now() END,
         failed_at = CASE WHEN o.status = 'failed' THEN now() END,
         updated_at = now()
    FROM outcome AS o
   WHERE n.id = o.id
     AND n.id = ANY($1)
     AND n.sequence = o.fence
  RETURNING n.id, n.sequence, n.status, n.attempts, n.tenant, n.channel, n.priority,
            n.failure_class, n.failure_reason, n.updated_at, o.details
), traced AS (
  INSERT INTO notification_event (notification_id, sequence, event, details)
  SELECT id, sequence, status, details::jsonb FROM settled
), dead AS (
  INSERT INTO dead_letter (notification_id, sequence, tenant, channel, priority, attempts,
                           failure_class, reason, created_at)
  SELECT id, sequence, tenant, channel, priority, attempts, failure_class,
         COALESCE(failure_reason, failure_class), now()
    FROM settled
   WHERE status = 'failed'
)
SELECT id, sequence, updated_at FROM settled

-- record_late --
-- Explains outcomes that `settle` did not take. Those that an earlier `settle` has written,
-- whose answer never came, are returned; the others lost their lease and go into the trace,
-- once, also when this statement itself was carried out before and its answer never came.
WITH outcome AS (
  SELECT *
    FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[]) AS o (id, fence, status, details)
), mine AS (
  SELECT e.notification_id AS id, e.sequence, uuid_extract_timestamp(e.id) AS updated_at
    FROM notification_event AS e
    JOIN outcome AS o ON e.notification_id = o.id
   WHERE e.notification_id = ANY($1)
     AND e.sequence = o.fence + 1
     AND e.event = o.status
     AND e.details = o.details::jsonb
), known AS (
  SELECT e.notification_id AS id, e.details
    FROM notification_event AS e
   WHERE e.notification_id = ANY($1)
     AND e.event = 'late_outcome'
), late AS (
  INSERT INTO notification_event (notification_id, event, details)
  SELECT o.id, 'late_outcome', o.details::jsonb
    FROM outcome AS o
   WHERE NOT EXISTS (SELECT FROM mine WHERE mine.id = o.id AND mine.sequence = o.fence + 1)
     AND NOT EXISTS (SELECT FROM known WHERE known.id = o.id AND known.details = o.details::jsonb)
     AND EXISTS (SELECT FROM notification AS n WHERE n.id = o.id AND n.id = ANY($1))
)
SELECT id, sequence, updated_at FROM mine

-- renew --
-- Extends leases that are still held, and returns whose they are.
UPDATE notification AS n
   SET lease_until = now() + make_interval(secs => $3)
  FROM unnest($1::uuid[], $2::integer[]) AS held (id, fence)
 WHERE n.id = held.id
   AND n.id = ANY($1)
   AND n.sequence = held.fence
RETURNING n.id, n.sequence
