--- Secrets are where they belong and nowhere else: not in logs, answers, the process list, the database, other people's
--- files. (Every other scenario looks for its own secrets in the engine's log when it stops: tests/support/engine.lua.)

local engine = require "tests.support.engine"

describe("secrets", function()
  local e, pg_dir, url
  local PHRASE, DB_PASSWORD = "grey mice eat the moon", "hunter2-of-the-database"
  local seen = {}

  setup(function()
    local code, text = engine.run("tests/support/pg.sh start")
    assert(code == 0, text)
    pg_dir = text:match("PGTEST_DIR=(%S+)")
    url = "postgresql://chainwatch:" .. DB_PASSWORD .. "@/chainwatch?host=" .. pg_dir
    e = engine.start { env = "DATABASE_URL='" .. url .. "'", sets = { "log.level=debug", "http.access_log=true",
      "auth.registration=invitation" } }
    engine.write(e.dir .. "/database.url", url .. "\n")      -- for e:sql
  end)
  teardown(function()
    local ok, err = pcall(function() e:stop { "could not", "cannot", "level=error" } end)
    engine.run("tests/support/pg.sh stop " .. pg_dir)
    assert(ok, err)
  end)

  local function keep(name, value)
    seen[name] = assert(value, name)
    return value
  end

  it("are used in every way, good and bad", function()
    local nobody = { ["X-API-Key"] = false }
    keep("admin key", e.key)
    keep("password", PHRASE)
    keep("database password", DB_PASSWORD)
    e:post("/api/v1/users", { email = "a@example.com", password = PHRASE, roles = { "analyst" } })
    local _, t = e:post("/api/v1/auth/login", { email = "a@example.com", password = PHRASE }, nobody)
    keep("access token", t.access_token)
    keep("refresh token", t.refresh_token)
    local _, k = e:post("/api/v1/api-keys", { name = "k" }, { ["X-API-Key"] = false, Authorization = "Bearer " .. t.access_token })
    keep("api key", k.key)
    local _, invited = e:post("/api/v1/users", { email = "b@example.com" })
    keep("invitation", invited.invitation)
    e:post("/api/v1/auth/login", { email = "a@example.com", password = PHRASE .. "?" }, nobody)
    e:post("/api/v1/auth/login", { email = PHRASE, password = PHRASE, unknown = PHRASE }, nobody)
    e:post("/api/v1/auth/login", '{"email":"a@example.com","password":"' .. PHRASE .. '"', nobody)
    e:post("/api/v1/auth/register", { email = "c@example.com", password = PHRASE }, nobody)
    e:post("/api/v1/auth/refresh", { refresh_token = t.refresh_token .. "x" }, nobody)
    e:get("/api/v1/auth/me", { ["X-API-Key"] = false, Authorization = "Bearer " .. t.access_token .. "x" })
    e:get("/api/v1/auth/me", { ["X-API-Key"] = k.key .. "x" })
    e:get("/api/v1/auth/me", { ["X-API-Key"] = k.key, Authorization = "Bearer " .. e.key })
    e:get("/" .. k.key)
    e:kill("HUP")
    keep("token key", engine.read(e.dir .. "/token.keys"):match("HS256 (%S+)"))
    keep("audit key", engine.read(e.dir .. "/audit.key"):match("(%S+)"))
    engine.wait("the reload", 20, function() return engine.read(e.log):find("group=reload", 1, true) end)
    -- The database goes away while they are in use.
    engine.run("tests/support/pg.sh stop " .. pg_dir)
    e:post("/api/v1/auth/login", { email = "a@example.com", password = PHRASE }, nobody)
    engine.wait("the engine to notice", 20, function() return engine.read(e.log):find("level=warn group=pg", 1, true) end)
  end)

  it("are not in the log", function()
    local log = engine.read(e.log)
    assert.is_truthy(log:find("level=debug", 1, true))
    assert.is_truthy(log:find("/api/v1/auth/login", 1, true), "the access log is on")
    for name, secret in pairs(seen) do
      if name ~= "api key" then assert.is_nil(log:find(secret, 1, true), name) end
    end
    assert.is_nil(log:find(seen["api key"], 1, true), "api key: also not in the path of a request")
  end)

  it("are not in the process list", function()
    local _, list = engine.run("ps -eo args -ww")
    for name, secret in pairs(seen) do
      -- The shell that started the engine for this test has the address of the database in its own arguments.
      for line in list:gmatch("[^\n]+") do
        if not line:find("sh -c", 1, true) and not line:find("CHAINWATCH_BIN", 1, true) then
          assert.is_nil(line:find(secret, 1, true), name .. ": " .. line)
        end
      end
    end
  end)

  it("are not in the environment of the engine's children", function()
    local children, looked = { [e.pid] = true }, 0
    local _, list = engine.run("ps -eo pid,ppid --no-headers")
    for _ = 1, 4 do                                          -- evaluators are children of the zygote
      for pid, parent in list:gmatch("(%d+)%s+(%d+)") do
        if children[tonumber(parent)] then children[tonumber(pid)] = true end
      end
    end
    for pid in pairs(children) do
      local environment = pid ~= e.pid and engine.read("/proc/" .. pid .. "/environ")
      if environment then
        looked = looked + 1
        for name, secret in pairs(seen) do assert.is_nil(environment:find(secret, 1, true), name .. " in process " .. pid) end
      end
    end
    assert.is_true(looked >= 2, "the zygote and an evaluator")
  end)

  it("are in files that nobody but their owner can read", function()
    for _, name in ipairs { "admin.key", "token.keys", "audit.key" } do
      local _, mode = engine.run("stat -c %a " .. e.dir .. "/" .. name)
      assert.equal("600", (mode:gsub("%s+$", "")), name)
    end
  end)

  it("are not in the settings that scripts and commands show", function()
    local code, text = engine.run("DATABASE_URL='" .. url .. "' " .. engine.bin .. " check --settings --set general.data_dir=" .. e.dir)
    assert.is_true(code == 0 or code == 1)
    assert.is_nil(text:find(DB_PASSWORD, 1, true))
  end)
end)

describe("secrets of an engine with its own PostgreSQL", function()
  local dir, here, e
  local PHRASE = "yellow mice eat the sun"

  local function start()
    local bin = engine.bin:sub(1, 1) == "/" and engine.bin or here .. "/" .. engine.bin
    e = engine.start { dir = dir .. "/data", bin = bin, env = "ulimit -c unlimited; cd " .. dir .. "; HOME=/nowhere",
      sets = { "rules.dir=" .. dir .. "/rules", "rules.conf=" .. here .. "/conf/rules.lua", "scripts.dir=" .. here .. "/scripts",
        "database.migrations_dir=" .. here .. "/migrations", "log.level=debug" } }
  end
  local function cores() return select(2, engine.run("find " .. dir .. " -maxdepth 2 -name 'core*' | head -3")) end

  setup(function()
    here = select(2, engine.run("pwd")):gsub("%s+$", "")
    dir = engine.tmpdir()
    os.execute("mkdir " .. dir .. "/rules " .. dir .. "/data && cp rules/fan_out.lua " .. dir .. "/rules")
  end)
  teardown(function()      -- its PostgreSQL ends by itself after the crash
    engine.wait("the folder to be removed", 10, function() return engine.run("rm -rf " .. dir) == 0 end)
  end)

  it("are in no file but their own: not in state, heads, or anything of the database", function()
    start()
    local nobody = { ["X-API-Key"] = false }
    local secrets = { admin = e.key, password = PHRASE }
    e:post("/api/v1/users", { email = "a@example.com", password = PHRASE })
    local _, t = e:post("/api/v1/auth/login", { email = "a@example.com", password = PHRASE }, nobody)
    secrets.access, secrets.refresh = t.access_token, t.refresh_token
    local _, k = e:post("/api/v1/api-keys", { name = "k" })
    secrets.key = k.key
    e:post("/api/v1/auth/login", { email = "a@example.com", password = PHRASE .. "?" }, nobody)
    assert.equal(200, (e:post("/api/v1/predict", engine.tx(), { ["X-API-Key"] = k.key })))
    secrets.token_key = assert(engine.read(e.dir .. "/token.keys"):match("HS256 (%S+)"))
    secrets.audit_key = assert(engine.read(e.dir .. "/audit.key"):match("(%S+)"))
    e:stop()
    assert.is_truthy(engine.read(e.dir .. "/state.ckpt"), "state was written at the end")
    local OWN = { admin = "admin.key", token_key = "token.keys", audit_key = "audit.key" }
    for name, secret in pairs(secrets) do
      engine.write(dir .. "/wanted", secret .. "\n")
      local _, found = engine.run("cd " .. e.dir .. " && grep -rlaF -f ../wanted .")
      assert.equal(OWN[name] and "./" .. OWN[name] .. "\n" or "", found, name)
    end
    os.remove(dir .. "/wanted")
  end)

  it("are in no core file: there is none", function()
    engine.run("cd " .. dir .. "/rules && bash -c 'ulimit -c unlimited; kill -ABRT $$'")
    if cores() == "" then
      pending("no cores are written here at all")
      return
    end
    os.execute("rm -f " .. dir .. "/rules/core*")
    start()
    e:kill "ABRT"
    engine.wait("the engine to be gone", 20, function() return not e:alive() end)
    assert.equal("", cores())
  end)
end)
