--- The zygote is killed, or stopped for good: the engine starts it again, without secrets in it, and goes on.

local engine = require "tests.support.engine"

describe("the zygote", function()
  local e
  setup(function() e = engine.start { env = "CHAINWATCH_TEST_SECRET=do-not-inherit" } end)
  teardown(function() e:stop() end)

  local function child(name)
    return select(2, engine.run("pgrep -P " .. e.pid .. " -x " .. name)):match("%d+")
  end
  local function kill(pid)
    os.execute("kill -KILL " .. pid)
    engine.wait("its death", 10, function()
      local stat = engine.read("/proc/" .. pid .. "/stat")
      return not stat or stat:find(") Z", 1, true)
    end)
  end

  for round, signal in ipairs { "KILL", "STOP", "KILL" } do
    it("is started again when an evaluator is needed, round " .. round .. ", " .. signal, function()
      local zygote, evaluator = assert(child("cw-zygote")), assert(child("cw-evaluator"))
      if signal == "KILL" then kill(zygote) else os.execute("kill -STOP " .. zygote) end
      assert.equal(200, (e:post("/api/v1/predict", engine.tx())))
      kill(evaluator)
      assert.equal(200, (e:post("/api/v1/predict", engine.tx())))
      local fresh = assert(child("cw-zygote"))
      assert.are_not.equal(zygote, fresh)
      assert.are_not.equal(evaluator, child("cw-evaluator"))
      assert.equal("", engine.read("/proc/" .. fresh .. "/environ"))
      local fds = select(2, engine.run("ls -l /proc/" .. fresh .. "/fd"))
      for target in fds:gmatch("%-> (%S+)") do
        assert.is_truthy(target:find("^socket:") or target:find("engine.log", 1, true) or target == "/dev/null" or target:find("^pipe:"),
          target)
      end
      assert.equal(200, (e:get("/health/ready")))
    end)
  end

  it("and rules can be reloaded with the new one", function()
    kill(assert(child("cw-zygote")))
    assert.equal(200, (e:post("/api/v1/admin/reload")))
    assert.equal(200, (e:post("/api/v1/predict", engine.tx())))
    local _, zombies = engine.run("ps --ppid " .. e.pid .. " -o stat= | grep -c Z")
    assert.equal("0", zombies:match("%d+"))
  end)
end)
