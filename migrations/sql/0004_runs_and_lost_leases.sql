-- What the scheduler's jobs did, run by run, and the latest run of each that found nothing to do.
CREATE TABLE job_run (
  id               uuid             NOT NULL PRIMARY KEY,
  job              text             NOT NULL,
  instance         text             NOT NULL,
  started_at       timestamptz      NOT NULL,
  duration_seconds double precision NOT NULL,
  runs             integer          NOT NULL,
  outcome          text             NOT NULL CHECK (outcome IN ('finished', 'failed')),
  scanned          bigint           NOT NULL,
  repaired         bigint           NOT NULL,
  why              jsonb            NOT NULL,
  error            text             NOT NULL,
  idle             boolean          NOT NULL
);

CREATE INDEX job_run_of_job ON job_run (job, id);

CREATE UNIQUE INDEX job_run_idle ON job_run (job) WHERE idle;

-- How many dispatchers ended, or lost touch, while they were sending it.
ALTER TABLE notification ADD COLUMN lost_leases integer NOT NULL DEFAULT 0;
