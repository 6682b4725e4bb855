--- A crowd of slow clients: heads and bodies that drip, answers that nobody reads, connections that say nothing. /health is
--- answered within a second, others are served, the slow ones are closed in time, and no descriptor is kept. Then the same with
--- hardly any descriptors, and with little memory.

local engine = require "tests.support.engine"
local socket = require "socket"

local CROWD = 1000

local function fds(pid)
  return tonumber((select(2, engine.run("ls /proc/" .. pid .. "/fd | wc -l")):match("%d+")))
end

local function connect(port)
  local c = assert(socket.tcp())
  c:settimeout(5)
  local ok, err = c:connect("127.0.0.1", port)
  if not ok then
    c:close()
    return nil, err
  end
  c:settimeout(0)
  return c
end

-- One of four kinds; what it sends first.
local function slow(e, n)
  local c = assert(connect(e.port))
  local kind = n % 4
  if kind == 0 then
    c:send("GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ")
  elseif kind == 1 then
    c:send("POST /api/v1/predict HTTP/1.1\r\nHost: x\r\nX-API-Key: " .. e.key
      .. "\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{")
  elseif kind == 2 then                   -- asks for much, again and again, and reads nothing of it
    c:setoption("tcp-nodelay", true)
    c:send(("GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"):rep(16))
  end
  return c
end

local function drip(crowd)
  for i, c in ipairs(crowd) do
    if i % 4 < 2 then c:send("a") end
  end
end

local function served(e, rounds)
  local worst = 0
  for _ = 1, rounds do
    local from = socket.gettime()
    assert.equal(200, (e:get("/health")))
    worst = math.max(worst, socket.gettime() - from)
    assert.equal(200, (e:post("/api/v1/predict", engine.tx())))
  end
  return worst
end

local function let_go(crowd)
  for _, c in ipairs(crowd) do c:close() end
end

describe("a crowd of slow clients", function()
  it("waits in its own time: everybody else is served, and it is closed in the end", function()
    local e = engine.start { sets = { "http.head_ms=4000", "http.body_ms=4000", "http.write_ms=4000", "http.idle_ms=4000" } }
    served(e, 3)
    local before, crowd = fds(e.pid), {}
    for n = 1, CROWD do crowd[n] = slow(e, n) end
    local worst = 0
    for _ = 1, 4 do
      drip(crowd)
      worst = math.max(worst, served(e, 4))
    end
    assert.is_true(worst < 1, "/health took " .. worst .. " s")
    engine.wait("the slow ones to be closed", 20, function()
      drip(crowd)
      return fds(e.pid) <= before + 8
    end)
    let_go(crowd)
    served(e, 3)
    e:stop()
  end)

  it("has more connections than there are descriptors: no spinning, no crash, served again when it leaves", function()
    local e = engine.start {}
    served(e, 3)
    local before, crowd = fds(e.pid), {}
    engine.run(("prlimit --pid %d --nofile=%d:%d"):format(e.pid, before + 60, before + 60))
    for n = 1, 300 do crowd[n] = connect(e.port) end
    socket.sleep(0.5)
    local function cpu()
      local user, system = engine.read("/proc/" .. e.pid .. "/stat"):match("%) " .. ("%S+ "):rep(11) .. "(%d+) (%d+)")
      return (user + system) / 100
    end
    local from = cpu()
    socket.sleep(2)
    assert.is_true(cpu() - from < 1, "CPU of two seconds: " .. cpu() - from)
    assert.is_true(e:alive())
    let_go(crowd)
    engine.wait("connections to be taken again", 15, function() return e:get("/health") == 200 end)
    served(e, 5)
    assert.is_true(fds(e.pid) <= before + 20)
    e:stop { "cannot accept connections", "open a database connection", "request failed",
      "export the head of the audit log" }
  end)

  it("and an evaluator that may have no more memory", function()
    local e = engine.start {}
    served(e, 3)
    for pid in select(2, engine.run("pgrep -P " .. e.pid)):gmatch("%d+") do
      if (engine.read("/proc/" .. pid .. "/comm") or ""):find("cw%-evaluator") then
        local size = tonumber(engine.read("/proc/" .. pid .. "/status"):match("VmSize:%s+(%d+)")) * 1024
        engine.run(("prlimit --pid %s --as=%.0f"):format(pid, size))
      end
    end
    for i = 1, 400 do
      local status = e:post("/api/v1/predict", engine.tx { from = ("0x%040x"):format(i), to = ("0x%040x"):format(i + 5000) })
      assert.is_true(status == 200 or status == 503, tostring(status))
    end
    assert.equal(200, (e:post("/api/v1/predict", engine.tx())))
    assert.equal(200, (e:get("/health/ready")))
    e:stop { "" }
  end)
end)
