--- What hangs without dying: a PostgreSQL that is stopped breaks no connection. Clients get 503 in time, the engine says
--- that it is not ready, and all goes on when it runs again.

local engine = require "tests.support.engine"
local socket = require "socket"

describe("a PostgreSQL that hangs", function()
  local e

  local function signal(name)
    local postmaster = engine.read(e.dir .. "/pg/data/postmaster.pid"):match("^%d+")
    engine.run("kill -" .. name .. " " .. postmaster .. " $(pgrep -P " .. postmaster .. ")")
  end

  setup(function() e = engine.start { sets = { "pipeline.wait_ms=1000" } } end)
  teardown(function()
    signal "CONT"
    e:stop()
  end)

  it("costs time-outs, no lie about being ready, and nothing that was stored", function()
    local tx = engine.tx()
    assert.equal(200, (e:post("/api/v1/predict", engine.tx())))
    assert.equal(200, (e:get("/health/ready")))
    signal "STOP"
    local started = socket.gettime()
    local status, body, headers = e:post("/api/v1/predict", tx)
    assert.equal(503, status)
    assert.equal("timeout", body.code)
    assert.is_truthy(headers["retry-after"])
    assert.is_true(socket.gettime() - started < 5)
    engine.wait("the engine to say that it is not ready", 10, function() return e:get("/health/ready") == 503 end)
    assert.equal(200, (e:get("/health/live")))
    signal "CONT"
    engine.wait("the engine to be ready again", 15, function() return e:get("/health/ready") == 200 end)
    local again, verdict = e:post("/api/v1/predict", tx)
    assert.equal(200, again)
    assert.is_true(verdict.duplicate)
    assert.equal("1", e:sql("SELECT count(*) FROM transactions WHERE hash = '\\x" .. tx.hash:sub(3) .. "'"))
  end)
end)
