--- Thousands of malformed and odd requests at a real engine: what must be refused is refused and the connection ends, nothing
--- hangs, no answer is a failure of the server, and afterwards the engine is as it was.

local engine = require "tests.support.engine"
local odd = require "tests.support.odd_requests"
local socket = require "socket"

local FAILURES = { [501] = false, [505] = false }   -- the two that say what is not spoken here

describe("odd requests", function()
  local e

  --- Statuses of the answers, and how it ended: "closed", "open", "silent" (nothing came in time).
  local function ask(bytes, half)
    local c = assert(socket.tcp())
    c:settimeout(10)
    assert(c:connect("127.0.0.1", e.port))
    c:send(bytes)                                  -- it may be refused before all of it is sent
    if half then c:shutdown("send") end
    local parts, state, wait = {}, "closed", 10
    c:settimeout(0)
    while true do
      local readable = socket.select({ c }, nil, wait)
      if #readable == 0 then
        state = #parts == 0 and "silent" or "open"
        break
      end
      local data, err, partial = c:receive(65536)
      data = data or partial
      if data and #data > 0 then parts[#parts + 1] = data end
      if err == "closed" then break end
      wait = 0.02                                  -- it has answered: does it close?
    end
    c:close()
    local text, statuses = table.concat(parts), {}
    for status in text:gmatch("HTTP/1%.1 (%d%d%d) ") do statuses[#statuses + 1] = tonumber(status) end
    return statuses, state, text
  end

  --- A case that must end the connection: waits for the end.
  local function ask_to_end(bytes, half)
    local c = assert(socket.tcp())
    c:settimeout(10)
    assert(c:connect("127.0.0.1", e.port))
    c:send(bytes)
    if half then c:shutdown("send") end
    local text, err, partial = c:receive("*a")
    text = text or partial or ""
    c:close()
    local statuses = {}
    for status in text:gmatch("HTTP/1%.1 (%d%d%d) ") do statuses[#statuses + 1] = tonumber(status) end
    return statuses, err == "timeout" and (#statuses == 0 and "silent" or "open") or "closed", text
  end

  local function descriptors()
    local _, text = engine.run("ls /proc/" .. e.pid .. "/fd | wc -l")
    return tonumber(text)
  end
  local function memory_kb() return tonumber(engine.read("/proc/" .. e.pid .. "/status"):match("VmRSS:%s+(%d+)")) end

  setup(function() e = engine.start() end)
  teardown(function() e:stop() end)

  local function verdict(case, statuses, state)
    local first = statuses[1]
    for _, status in ipairs(statuses) do
      if status >= 500 and FAILURES[status] == nil then return "a failure: " .. status end
    end
    if state == "silent" then return "no answer" end
    if case.allowed and not (first and case.allowed[first]) then
      return "answered " .. tostring(first)
    end
    if case.close and state ~= "closed" then return "the connection stays open" end
    if case.close and #statuses ~= 1 then return #statuses .. " answers to one request" end
  end

  it("are refused where two parsers could differ, answered where they are fine, and never hurt", function()
    local wrong, cases = {}, odd.all(1500)
    local fds, kb
    assert.is_true(#cases > 2500, tostring(#cases))
    for round = 1, 2 do
      for i, case in ipairs(cases) do
        local statuses, state = (case.close and ask_to_end or ask)(case.bytes, case.half)
        local why = verdict(case, statuses, state)
        if why then wrong[#wrong + 1] = ("%s: %s (%s)"):format(case.name, why, case.bytes:sub(1, 120):gsub("%c", "."):gsub("[\128-\255]", "?")) end
        if round == 2 and i % 4 == 0 and i > 400 then break end   -- the first hundreds once more
      end
      assert.equal(200, (e:get("/health")))
      if round == 1 then fds, kb = descriptors(), memory_kb() end
    end
    assert.same({}, wrong)
    engine.wait("the connections to be gone", 10, function() return descriptors() <= fds + 2 end)
    assert.is_true(memory_kb() < kb + 16384, "memory grew from " .. kb .. " to " .. memory_kb() .. " kB")
  end)

  it("cannot smuggle a second request behind the first", function()
    local inner = "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n"
    for _, bytes in ipairs {
      "POST /nothing HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" .. inner,
      "POST /nothing HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n" .. inner,
      "POST /nothing HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\nContent-Length: " .. #inner .. "\r\n\r\n" .. inner,
      "POST /nothing HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r" .. inner,
      "POST /nothing HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: xchunked\r\n\r\n" .. inner,
      "GET /nothing HTTP/1.1\r\nHost: test\r\nX: y\n" .. inner,
      "GET /nothing HTTP/1.1\r\nHost: test\r\nX: y\r" .. inner,
      "POST /nothing HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\n\n" .. inner,
    } do
      local statuses, state, text = ask_to_end(bytes)
      assert.same({ 400 }, statuses, bytes .. text)
      assert.equal("closed", state)
      assert.is_nil(text:find("smuggled", 1, true))
    end
  end)

  it("that are fine are answered one after another on one connection", function()
    local one = "GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"
    local statuses = ask_to_end(one:rep(20) .. "POST /nothing HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
      .. "POST /nothing HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc" .. one .. "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n" .. one)
    local wanted = {}
    for i = 1, 20 do wanted[i] = 200 end
    wanted[21], wanted[22], wanted[23], wanted[24] = 404, 404, 200, 404
    assert.same(wanted, statuses)
  end)

  it("that come byte by byte are the same requests", function()
    for _, case in ipairs { { "GET /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", 200 },
      { "POST /nothing HTTP/1.1\r\nHost: test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n", 404 },
      { "POST /nothing HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", 400 } } do
      local c = assert(socket.tcp())
      c:settimeout(10)
      assert(c:connect("127.0.0.1", e.port))
      c:setoption("tcp-nodelay", true)
      for at = 1, #case[1] do c:send(case[1]:sub(at, at)) end
      local text, _, partial = c:receive("*a")
      c:close()
      assert.equal(case[2], tonumber(((text or partial) or ""):match("^HTTP/1%.1 (%d+)")))
    end
  end)

  it("with bodies that are not what the route takes are refused, on every route", function()
    local _, doc = e:get("/openapi.json")
    local wrong = {}
    local bodies = { { "[1,", 400 }, { "{'a':1}", 400 }, { "\xff", 400 }, { "{\"a\":1}x", 400 }, { "[1]", 422 }, { "\"text\"", 422 }, { "1e5", 422 },
      { "{\"a\":1,\"a\":2}", 422 }, { ("["):rep(100), 400 }, { "{\"no_such_member\": 1}", 422 }, { "null", 422 } }
    for path, operations in pairs(doc.paths) do
      local where = path:gsub("{hash}", "0x" .. ("9"):rep(64)):gsub("{id}", "999999999"):gsub("{[%w_]+}", "nothing")
      for method, op in pairs(operations) do
        local content = op.requestBody and op.requestBody.content or {}
        if method ~= "get" and not content["text/plain"] then
          for _, b in ipairs(bodies) do
            local status = e:call(method:upper(), where, b[1])
            if status ~= b[2] then wrong[#wrong + 1] = ("%s %s with %s: %s"):format(method, path, b[1]:sub(1, 20), tostring(status)) end
          end
          local status = e:call(method:upper(), where, "{}", { ["Content-Encoding"] = "gzip" })
          if status ~= 415 then wrong[#wrong + 1] = ("%s %s, gzipped: %s"):format(method, path, tostring(status)) end
          for _, kind in ipairs(content["application/json"] and { "text/plain", "application/jsonx", "application/json; charset=utf-16",
            "application/json, text/plain", "multipart/form-data; boundary=x" } or {}) do
            status = content[kind] and 415 or e:call(method:upper(), where, "[1", { ["Content-Type"] = kind })
            if status ~= 415 then wrong[#wrong + 1] = ("%s %s as %s: %s"):format(method, path, kind, tostring(status)) end
          end
          status = e:call(method:upper(), where, "[1", { ["Content-Type"] = 'APPLICATION/Json; charset="UTF-8"' })
          if status ~= 400 then wrong[#wrong + 1] = ("%s %s in capitals: %s"):format(method, path, tostring(status)) end
        end
      end
    end
    assert.same({}, wrong)
  end)

  it("with members and parameters of another kind than declared are refused, on every route", function()
    local _, doc = e:get("/openapi.json")
    local wrong = {}
    local values = { "-1", "1e308", "99999999999999999999", "1e9999", "0.5", "true", "null", '""', "{}", "[]", "[{}]", "[null,1,[]]", '{"a":[1]}',
      '"' .. ("x"):rep(5000) .. '"', '"\\u2028\\u001b[31m"', '"2026-02-30T25:00:00Z"', '"-1"' }
    local texts = { "", "-1", "1e308", "99999999999999999999", "true", "null", "%7B%7D", "%00", "%FF", "%E2%80%A8", ("x"):rep(3000), "2026-02-30T25:00:00Z",
      "0x", "0x" .. ("f"):rep(64), "127.0.0.1%2F99", "'%22--" }
    local function look(method, path, name, value, status, answer)
      local text = type(answer) == "table" and tostring(answer.detail) or ""
      if not status or status >= 500 or text:find("syntax for type", 1, true) or text:find("constraint", 1, true) then
        wrong[#wrong + 1] = ("%s %s, %s = %s: %s %s"):format(method, path, name, value:sub(1, 30), tostring(status), text)
      end
    end
    for path, operations in pairs(doc.paths) do
      local where = path:gsub("{hash}", "0x" .. ("9"):rep(64)):gsub("{id}", "999999999"):gsub("{[%w_]+}", "nothing")
      for method, op in pairs(operations) do
        local json = (op.requestBody and op.requestBody.content or {})["application/json"]
        for name in pairs(json and json.schema and json.schema.properties or {}) do
          for _, value in ipairs(values) do
            local status, answer = e:call(method:upper(), where, ('{"%s":%s}'):format(name, value))
            look(method, path, name, value, status, answer)
          end
        end
        for _, p in ipairs(method == "get" and not path:find("stream") and op.parameters or {}) do
          for _, text in ipairs(p["in"] == "query" and texts or {}) do
            local status, answer = e:get(where .. "?" .. p.name .. "=" .. text)
            look(method, path, p.name, text, status, answer)
          end
        end
      end
    end
    local hold = { hash = "0x" .. ("9"):rep(64), reason = "" }
    look("post", "/api/v1/legal-holds", "reason", "", e:post("/api/v1/legal-holds", hold))
    assert.same({}, wrong)
  end)
end)
