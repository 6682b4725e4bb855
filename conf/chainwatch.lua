-- chainwatch settings. Every key is shown with its default; take away the dashes to change one.
-- Order: built-in < this file < environment < command line. `chainwatch check` looks it over.
-- A reload (SIGHUP, `chainwatch reload`) takes every key but those marked (restart).
-- env("NAME") and file("PATH") read a secret from the environment or from a file.
return {
	general = {
		-- data_dir = "var",                       -- private cluster, admin key, checkpoints (restart); $CHAINWATCH_DATA_DIR
		-- chain_id = 1,                           -- for transactions that name none
		-- dev = false,                            -- watch the files of rules and scripts and reload on change
	},
	http = {
		-- listen = "127.0.0.1:8080",              -- address:port, [v6]:port or unix:/path (restart); $CHAINWATCH_LISTEN
		-- max_connections = 4096,                 -- above it: 503 and close
		-- header_bytes = 16384,                   -- all headers of a request; above it: 431
		-- body_bytes = 16777216,                  -- a request body; above it: 413
		-- head_ms = 10000,                        -- time for the whole head
		-- body_ms = 60000,                        -- time for the whole body
		-- idle_ms = 60000,                        -- between two requests of a connection
		-- write_ms = 30000,                       -- a client that does not read
		-- reply_ms = 35000,                       -- time for an answer; then 503
		-- tls_cert = "",                          -- PEM file; empty: no TLS
		-- tls_key = "",                           -- PEM file
		-- access_log = false,                     -- a line per request
		-- auth = true,                            -- ask for an API key (false only behind a proxy that does)
	},
	database = {
		-- url = "",                               -- postgresql:// address; empty: a private PostgreSQL under data_dir
		                                           --   (restart); $DATABASE_URL
		-- shared_buffers = "256MB",               -- of the private PostgreSQL (restart)
		-- migrations_dir = "migrations",          -- SQL files (restart)
		-- migrate = true,                         -- apply pending migrations at start (else refuse to serve) (restart)
		-- pool_size = 20,                         -- connections kept open
		-- pool_overflow = 10,                     -- more under load, closed when idle
		-- pool_wait_ms = 30000,                   -- wait for a connection
		-- pool_recycle_s = 3600,                  -- age at which a connection is renewed
		-- pool_queue = 1000,                      -- waiters; above it: 503 at once
		-- statement_ms = 30000,                   -- statement_timeout; 0: none
		-- connect_ms = 5000,                      -- time to connect
	},
	pipeline = {
		-- queue_limit = 16384,                    -- transactions admitted, not committed yet
		-- group_max = 1000,                       -- transactions in one commit
		-- commit_linger_us = 0,                   -- wait for company before a commit
		-- recent_hashes = 65536,                  -- known hashes kept in memory (restart)
		-- wait_ms = 30000,                        -- a request waits this long for its commit
		-- ring_slots = 4096,                      -- transactions on their way to the evaluator (restart)
		-- replay_max = 200000,                    -- newest stored transactions replayed at start when there is no
		                                           --   checkpoint (restart)
	},
	rules = {
		-- dir = "rules",                          -- folder of rules
		-- conf = "conf/rules.lua",                -- parameters of rules; may be missing
		-- lists = "conf/lists",                   -- folder of address lists (CSV); may be missing
		-- jit = true,                             -- compile rules
		-- ticks = 1000000,                        -- budget of one rule call, in guard ticks
		-- wall_ms = 50,                           -- wall time of one rule call, behind the ticks
		-- memory_mb = 64,                         -- soft memory limit of the rules VM
		-- quarantine_after = 100,                 -- faults of one rule; 0: never (restart)
		-- hang_ms = 500,                          -- an evaluator without progress is replaced (restart)
		-- load_ms = 30000,                        -- time for loading and testing all rules (restart)
		-- state_mb = 1024,                        -- limit of all detector state (restart)
		-- warm_max = 1000000,                     -- history that new state is given, transactions
		-- warm_hours = 168,                       -- and no older than this before the newest; 0: any age
		-- journal_mb = 256,                       -- undo log of detector state (restart)
	},
	scripts = {
		-- dir = "scripts",                        -- folder with api/, policy/, jobs/, lib/
		-- memory_mb = 256,                        -- soft memory limit of the scripts VM
		-- turn_ms = 1000,                         -- CPU time of a handler before it must wait or answer
	},
	admin = {
		-- allow_eval = false,                     -- POST /api/v1/admin/lua runs a text in the sandbox, for its role admin
	},
	log = {
		-- level = "info",                         -- debug, info, warn, error or off; $CHAINWATCH_LOG
		-- format = "logfmt",                      -- logfmt or json
		-- groups = { pg = "debug" },
	},
}
