--- What runs on threads, all at once and beside predictions: hashes of passwords, checkpoints, reloads, heads of the audit
--- log. (`make tsan` runs this one with an engine that sees races.)

local engine = require "tests.support.engine"
local cjson = require "cjson"
local socket = require "socket"

local PHRASE, LOGINS = "correct horse battery", 8

describe("threads", function()
  local e
  setup(function()
    e = engine.start { sets = { "limits.login_rate=0", "auth.lockout_after=1000", "rules.checkpoint_s=1", "audit.export_s=1" } }
    for i = 1, LOGINS do
      assert.equal(201, (e:post("/api/v1/users", { email = "t" .. i .. "@example.com", password = PHRASE })))
    end
  end)
  teardown(function() e:stop() end)

  -- Sends without waiting for the answer; the connection is the promise of one.
  local function begin(path, body)
    local c = assert(socket.tcp())
    c:settimeout(30 * engine.slow)
    assert(c:connect("127.0.0.1", e.port))
    body = cjson.encode(body)
    c:send(("POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: %s\r\nContent-Type: application/json\r\n"
      .. "Content-Length: %d\r\n\r\n%s"):format(path, e.key, #body, body))
    return c
  end
  local function answer(c)
    local text, err, partial = c:receive("*a")
    c:close()
    return engine.parse(text or partial, err)
  end

  for round = 1, 2 do
    it("do not get in each other's way, round " .. round, function()
      local logins, wrong, predictions = {}, {}, {}
      local reload = begin("/api/v1/admin/reload", {})
      for i = 1, LOGINS do
        local email = "t" .. i .. "@example.com"
        logins[i] = begin("/api/v1/auth/login", { email = email, password = PHRASE })
        wrong[i] = begin("/api/v1/auth/login", { email = email, password = "not the phrase" })
      end
      for i = 1, 100 do predictions[i] = begin("/api/v1/predict", engine.tx()) end
      for i = 1, LOGINS do
        local status, body = answer(logins[i])
        assert.equal(200, status)
        assert.equal("Bearer", body.token_type)
        assert.equal(401, (answer(wrong[i])))
      end
      for i = 1, 100 do
        local status, body = answer(predictions[i])
        assert.equal(200, status)
        assert.is_false(body.duplicate)
      end
      assert.equal(200, (answer(reload)))
      assert.is_truthy(e:get("/metrics"))
    end)
  end

  it("leave a checkpoint and a signed head", function()
    engine.wait("a checkpoint", 10, function() return engine.read(e.dir .. "/state.ckpt") end)
    engine.wait("a head of the audit log", 10, function() return (engine.read(e.dir .. "/audit.heads") or "") ~= "" end)
    assert.equal("200", e:sql("SELECT count(*) FROM transactions"))
  end)
end)
