-- For the nodes that look for ends they were not told of, and for forgetting old jobs.
CREATE INDEX jobs_finished ON jobs (finished_at);
