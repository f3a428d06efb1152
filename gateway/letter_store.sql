-- list_letters --
-- Newest first, below a key. $11 is 'open', 'replayed', 'discarded', or NULL for all.
SELECT id, notification_id, channel, priority, attempts, failure_class, reason, created_at, published_at,
       coalesce(resolution, 'open') AS state, resolved_at, resolved_by, resolved_why, operation_id
  FROM dead_letter d
 WHERE d.tenant = $1
   AND :picked_letters
   AND d.id < $9
   AND ($11::text IS NULL OR ($11 = 'open' AND d.resolution IS NULL) OR d.resolution = $11)
 ORDER BY d.id DESC LIMIT $10

-- group_letters --
-- What is open, the largest groups first.
SELECT channel, failure_class, reason, count(*) AS count, min(created_at) AS first, max(created_at) AS last
  FROM dead_letter d
 WHERE d.tenant = $1 AND d.resolution IS NULL
   AND :picked_letters
 GROUP BY channel, failure_class, reason
 ORDER BY count(*) DESC, channel, failure_class, reason LIMIT $9

-- count_letters --
-- How many open ones pass, and why some of them could not be replayed now.
SELECT count(*) AS total,
       count(*) FILTER (WHERE n.id IS NULL OR n.status <> 'failed' OR n.sequence <> d.sequence) AS gone,
       count(*) FILTER (WHERE n.redacted_at IS NOT NULL) AS redacted,
       count(*) FILTER (WHERE n.redacted_at IS NULL AND n.expires_at <= now()) AS expired
  FROM dead_letter d LEFT JOIN notification n ON n.id = d.notification_id AND n.tenant = $1
 WHERE d.tenant = $1 AND d.resolution IS NULL
   AND :picked_letters

-- begin_letters --
-- Ends at the newest letter of this moment, so what fails again is not replayed again by the same
-- operation.
INSERT INTO operation (tenant, id, kind, state, who, reason, filter, rate_per_second, total, reached,
                       until, ready_at, created_at, updated_at)
SELECT $1, $9::uuid, $10::text, 'running', $11::text, $12::text, $13::jsonb, $14::float8, count(*), '00000000-0000-0000-0000-000000000000',
       coalesce(max(d.id::text)::uuid, '00000000-0000-0000-0000-000000000000'), now(), now(), now()
  FROM dead_letter d
 WHERE d.tenant = $1 AND d.resolution IS NULL
   AND :picked_letters
RETURNING *

-- count_of_recipient --
SELECT count(*) AS total FROM notification
 WHERE tenant = $1 AND recipient = $2

-- begin_erasure --
-- Ends with what is accepted about now: what is accepted later is another wish. Ids bear the
-- clocks of the gateways that made them, and some clock may be ahead of this one's.
INSERT INTO operation (tenant, id, kind, state, who, reason, filter, target, total, reached, until,
                       ready_at, created_at, updated_at)
SELECT $1, $3::uuid, 'erase', 'running', $4::text, replace($5::text, $2, '[erased]'), '{}', $2, count(*),
       '00000000-0000-0000-0000-000000000000', tocsin_lowest_id_at(now() + interval '5 minutes'),
       now(), now(), now()
  FROM notification
 WHERE tenant = $1 AND recipient = $2
RETURNING *

-- list_operations --
SELECT * FROM operation WHERE tenant = $1 ORDER BY id DESC LIMIT $2

-- find_operation --
SELECT * FROM operation WHERE tenant = $1 AND id = $2 AND (kind = 'erase') = $3

-- stop_operation --
UPDATE operation
   SET state = 'stopped', target = NULL, updated_at = now(), finished_at = now()
 WHERE tenant = $1 AND id = $2 AND (kind = 'erase') = $3 AND state = 'running'
RETURNING id
