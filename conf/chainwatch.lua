-- chainwatch settings. Every key is shown with its default; take away the dashes to change one.
-- Order: built-in < this file < environment < command line. `chainwatch check` looks it over.
-- A reload (SIGHUP, `chainwatch reload`) takes every key but those marked (restart).
-- env("NAME"), file("PATH"), credential("NAME") read a secret: environment, a file, systemd's LoadCredential=.
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
	auth = {
		-- registration = "closed",                 -- who may make an account: closed, invitation or open
		-- access_s = 900,                          -- life of an access token
		-- session_s = 1209600,                     -- life of a login, refreshed or not
		-- leeway_s = 5,                            -- for clocks that do not quite agree
		-- issuer = "chainwatch",                   -- iss of tokens
		-- audience = "chainwatch-api",             -- aud of tokens
		-- token_keys = "",                         -- file of keys for tokens; empty: token.keys in
		                                            --   $CREDENTIALS_DIRECTORY, else in data_dir;
		                                            --   $CHAINWATCH_TOKEN_KEYS
		-- password_min = 8,                        -- characters of a new password
		-- password_queue = 32,                     -- hashes that wait or run; above it: 503
		-- argon2_memory_kib = 19456,               -- memory of a password's hash
		-- argon2_passes = 2,                       -- passes of a password's hash
		-- lockout_after = 5,                       -- failed logins of an account before each doubles the
		                                            --   wait
		-- lockout_max_s = 900,                     -- longest wait
	},
	limits = {
		-- key_rate = 50000,                        -- requests a second of an API key; 0: no limit
		-- key_burst = 100000,                      -- and so many at once
		-- user_rate = 50000,                       -- requests a second of a user, all keys and logins
		                                            --   together
		-- user_burst = 100000,                     -- and so many at once
		-- address_rate = 0,                        -- requests a second of an address
		-- address_burst = 1000,                    -- and so many at once
		-- ingest_rate = 0,                         -- requests a second of a key on routes of role service
		-- ingest_burst = 1000,                     -- and so many at once
		-- login_rate = 10,                         -- logins, refreshes, registrations of an address
		-- login_burst = 200,                       -- and so many at once
		-- failed_rate = 100,                       -- requests of an address with a wrong key or token
		-- failed_burst = 10000,                    -- and so many at once
		-- concurrency = 4096,                      -- requests of a user under way, but for those of role
		                                            --   service; 0: no limit
		-- address_connections = 0,                 -- connections of an address; above it: 503 and close; 0:
		                                            --   no limit
		-- routes = {                               -- of one route, over what its declaration says; rate and burst
		-- 	["POST /api/v1/predict"] = {            --   by user, else by address
		-- 		rate = 100, burst = 200, body_bytes = 65536, timeout_ms = 5000,
		-- 	},
		-- },
	},
	audit = {
		-- heads = "",                              -- file that signed heads of the audit log are appended
		                                            --   to; empty: audit.heads in data_dir (restart)
		-- key = "",                                -- file of the key that signs them; empty: audit.key in
		                                            --   $CREDENTIALS_DIRECTORY, else in data_dir (restart)
		-- export_s = 60,                           -- so often; 0: never
		-- export_rows = 500,                       -- and after so many entries, looked at every 2 s
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
		-- stats_s = 15,                           -- how often PostgreSQL's statistics become metrics; 0: never
		-- connect_ms = 5000,                      -- time to connect
		-- start_wait_s = 60,                      -- wait for a PostgreSQL that is away at start (restart)
	},
	pipeline = {
		-- queue_limit = 16384,                    -- transactions admitted, not committed yet
		-- group_max = 1000,                       -- transactions in one commit
		-- commit_lanes = 2,                       -- 2: a second connection commits in turn while large groups come
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
		-- rate_check_s = 60,                      -- look for silent and flooding rules so often; 0: never
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
	backup = {
		-- enabled = false,                        -- archive WAL of the private PostgreSQL, run the schedule (restart)
		-- repo = "",                              -- folder, or s3://bucket/path; empty: backup/repo in data_dir (restart)
		-- cipher_pass = "",                       -- encrypts the repository (aes-256); empty: made at first, kept in
		                                           --   data_dir/backup/cipher.key (restart)
		-- keep_days = 30,                         -- of full backups and what hangs on them
		-- schedule = "02:00",                     -- UTC time of the daily backup; empty: none
		-- full_day = 0,                           -- day of the weekly full backup, 0: Sunday
		-- archive_timeout_s = 60,                 -- at most so much is lost with the machine (restart)
		-- dumps = 7,                              -- logical dumps kept beside it; 0: none are made
		-- dump_dir = "",                          -- their folder; empty: backup/dumps in data_dir
		-- stanza = "chainwatch",                  -- name of the cluster in the repository (restart)
		-- pgbackrest_conf = "",                   -- a pgbackrest.conf of yours, for a PostgreSQL that is not the private
		                                           --   one (restart)
		-- s3_endpoint = "",                       -- host[:port] (restart)
		-- s3_region = "us-east-1",                -- region of the bucket (restart)
		-- s3_key = "",                            -- access key (restart)
		-- s3_key_secret = "",                     -- its secret (restart)
		-- s3_uri_style = "host",                  -- host or path (restart)
		-- s3_verify_tls = true,                   -- false only for a server of your own (restart)
	},
	log = {
		-- level = "info",                         -- debug, info, warn, error or off; $CHAINWATCH_LOG
		-- format = "logfmt",                      -- logfmt or json
		-- groups = { pg = "debug" },
	},
	-- Chains to follow, by the JSON-RPC of their nodes.
	-- source = {
	--   { name = "mainnet", chain_id = 1,         -- the name is that of its cursor: keep it
	--     endpoints = { "http://127.0.0.1:8545",
	--       { url = env "NODE_URL", name = "backup", weight = 1, header = env "NODE_AUTH" } },
	--     start = "latest",               -- first block, where nothing was read yet; "latest": the head
	--     confirmations = 0,              -- blocks to stay behind the head
	--     final_blocks = 64,              -- so far behind the head a block is final; "finalized": as the nodes say
	--     poll_ms = 2000,                 -- nodes are asked for their head so often
	--     batch = 4,                      -- blocks in a call
	--     parallel = 4,                   -- calls at a time
	--     window = 256,                   -- blocks fetched ahead
	--     deadline_ms = 10000,            -- of a call
	--     max_reorg = 10000,              -- a reorg of more blocks stops the source
	--     ws = "ws://127.0.0.1:8546",      -- where new blocks are announced: asks sooner than poll_ms
	--     receipts = "auto",                -- auto, block, single (one by one) or none
	--   },
	--   -- Transactions from Kafka, one JSON object a message; options are librdkafka's.
	--   { name = "bus", kind = "kafka", brokers = "127.0.0.1:9092", group = "chainwatch", topics = { "transactions" },
	--     chain_id = 1, options = { ["security.protocol"] = "plaintext" } },
	-- },
	-- Receivers of alerts, each with at-least-once delivery: docs/OPERATIONS.md.
	-- deliver = {
	--   { name = "ops",                       -- letters, digits, _ . -; stays the same: deliveries name it
	--     format = "generic",                 -- generic, cloudevents, slack, discord, pagerduty, alertmanager, email
	--     url = "https://example.org/hook",   -- smtp:// or smtps:// for e-mail
	--     secrets = { file("hook.secret") },  -- "whsec_..."; each signs (two while one is replaced)
	--     headers = { Authorization = env("HOOK_TOKEN") },
	--     routing_key = env("PAGERDUTY_KEY"), -- pagerduty
	--     from = "cw@example.org", to = { "soc@example.org" }, user = "", password = "",   -- email
	--     min_severity = "high",              -- this or above
	--     rules = { "eth.*" }, not_rules = {}, tags = { "aml.*" }, chains = { 1 },   -- all that are given must fit
	--     labels = { "sanctioned" },         -- rests on an entry of such a list or category
	--     events = { "new", "updated", "retracted", "reborn", "label_withdrawn" },
	--     per_minute = 60,                    -- messages; more wait
	--     group = 20,                         -- up to so many alerts in one message when they queue up
	--     timeout_ms = 10000, max_attempts = 12,   -- then it is given up, until an operator retries it
	--     allow_private = false },            -- may resolve to a private, loopback or link-local address
	-- },
}
