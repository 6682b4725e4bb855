--- Two real servers: TLS with a certificate of our own, a synchronous standby, the primary killed, the standby promoted. The
--- engine finds the new primary by itself, and nothing that was acknowledged is missing.

local engine = require "tests.support.engine"
local socket = require "socket"

local function free_port()
  local s = assert(socket.bind("127.0.0.1", 0))
  local _, port = s:getsockname()
  s:close()
  return tonumber(port)
end

local function sh(text)
  local code, words = engine.run(text)
  assert(code == 0, text .. "\n" .. words)
  return (words:gsub("%s+$", ""))
end

describe("a database of two servers", function()
  local a, b = {}, {}
  local base, bin, as, e

  local function start(server)
    sh(string.format("cd / && %s%s/pg_ctl -D %s -l %s.log -w -t 30 -s start -o '-k %s -p %d -c listen_addresses=127.0.0.1'",
      as, bin, server.data, server.data, base, server.port))
  end

  local function psql(server, sql)
    return sh(string.format("psql -X -q -A -t 'host=%s port=%d user=chainwatch dbname=%s' -c %q", base, server.port,
      server.db or "chainwatch", sql))
  end

  setup(function()
    bin = sh "ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1"
    as = sh "id -u" == "0" and "setpriv --reuid=postgres --regid=postgres --clear-groups " or ""
    base = sh "mktemp -d /tmp/cw-failover-XXXXXX"
    sh(string.format("[ $(id -u) != 0 ] || chown postgres %s", base))
    a.data, b.data, a.port, b.port = base .. "/a", base .. "/b", free_port(), free_port()
    sh(string.format("cd / && %s%s/initdb -D %s -U chainwatch -A trust -E UTF8 --locale=C -N", as, bin, a.data))
    sh(string.format("cd %s && %sopenssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
      .. "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout server.key -out server.crt 2>&1 && chmod 600 server.key", base, as))
    engine.write(base .. "/more.conf", string.format([[
ssl = on
ssl_cert_file = '%s/server.crt'
ssl_key_file = '%s/server.key'
fsync = off
wal_level = replica
max_wal_senders = 4
]], base, base))
    sh(string.format("cat %s/more.conf >> %s/postgresql.conf", base, a.data))
    -- over TCP only with TLS
    sh(string.format("printf 'local all all trust\\nlocal replication all trust\\nhostssl all all 127.0.0.1/32 trust\\n' > %s/pg_hba.conf", a.data))
    start(a)
    sh(string.format("%s/createdb -h %s -p %d -U chainwatch chainwatch", bin, base, a.port))
    sh(string.format("cd / && %s%s/pg_basebackup -h %s -p %d -U chainwatch -D %s -R -X stream -c fast", as, bin, base, a.port, b.data))
    start(b)
    psql(a, "ALTER SYSTEM SET synchronous_standby_names = '*'")
    psql(a, "SELECT pg_reload_conf()")
    engine.wait("the standby to be synchronous", 15, function()
      return psql(a, "SELECT string_agg(sync_state, ',') FROM pg_stat_replication") == "sync"
    end)
  end)

  teardown(function()
    if e and e:alive() then e:stop { "level=error" } end
    for _, server in ipairs { a, b } do
      if server.data then engine.run(string.format("cd / && %s%s/pg_ctl -D %s -m immediate -s stop", as, bin, server.data)) end
    end
    if base then os.execute("rm -rf " .. base) end
  end)

  local function url(params)
    return string.format("postgresql://chainwatch@127.0.0.1:%d,127.0.0.1:%d/chainwatch?%s", b.port, a.port, params)
  end

  it("is not talked to when its certificate is not the one that is trusted", function()
    engine.write(base .. "/other.crt", sh("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout /dev/null 2>/dev/null"))
    local code, words = engine.run(string.format("DATABASE_URL='%s' timeout 20 %s serve --listen 127.0.0.1:0 --data-dir %s/data0 --set database.start_wait_s=0",
      url("target_session_attrs=read-write&sslmode=verify-full&sslrootcert=" .. base .. "/other.crt"), engine.bin, base))
    assert.is_true(code ~= 0)
    assert.is_truthy(words:find("certificate verify failed", 1, true), words)
  end)

  it("serves over TLS, fails over to the promoted standby, and lost nothing", function()
    e = engine.start { env = string.format("DATABASE_URL='%s'",
      url("target_session_attrs=read-write&sslmode=verify-full&sslrootcert=" .. base .. "/server.crt")) }
    assert.is_true(tonumber(psql(a, "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity USING (pid) WHERE s.ssl AND"
      .. " application_name = 'chainwatch'")) >= 1)
    local acked = {}
    local function post()
      local tx = engine.tx()
      local status = e:post("/api/v1/predict", tx)
      if status == 200 then acked[#acked + 1] = tx.hash end
      return status
    end
    for _ = 1, 20 do assert.equal(200, post()) end

    sh(string.format("kill -9 $(head -1 %s/postmaster.pid)", a.data))
    psql(b, "SELECT 1")
    sh(string.format("cd / && %s%s/pg_ctl -D %s -w promote", as, bin, b.data))
    local began = socket.gettime()
    psql(b, "ALTER SYSTEM RESET synchronous_standby_names")
    psql(b, "SELECT pg_reload_conf()")
    engine.wait("the engine to find the new primary", 30, function() return post() == 200 end)
    assert.is_true(socket.gettime() - began < 25)
    for _ = 1, 10 do assert.equal(200, post()) end
    for _, hash in ipairs(acked) do
      assert.equal("1", psql(b, "SELECT count(*) FROM transactions WHERE hash = decode('" .. hash:sub(3) .. "', 'hex')"), hash)
    end
    assert.equal(200, (e:get "/health/ready"))
  end)
end)
