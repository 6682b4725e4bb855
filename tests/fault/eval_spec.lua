--- Texts that mean harm, run one after another in one engine (POST /api/v1/admin/lua): each is answered, none is seen by
--- the next, requests and rules do not notice.

local engine = require "tests.support.engine"
local socket = require "socket"

-- name, world, text, what the answer must contain (a pattern of output or of the problem's detail)
local STOPPED = "stopped"
local CASES = {
  -- bytecode, chunks made of text, the outside
  { "bytecode", "both", "\27LJ\2\0\0", "binary" },
  { "string.dump", "both", "return string.dump", "nil" },
  { "load", "both", "return load('return 1')", "not available" },
  { "loadstring", "both", "return loadstring('return 1')", "not available" },
  { "dofile", "both", "dofile('/etc/passwd')", "not available" },
  { "require ffi", "rules", "return require('ffi')", "not available" },
  { "require of a script", "scripts", "return require('ffi')", "." },
  { "io", "both", "return io.open('/etc/passwd')", "not available" },
  { "os", "both", "os.exit(0)", "not available" },
  { "debug", "both", "return debug.getregistry()", "not available" },
  { "getfenv", "both", "return getfenv(0)", "not available" },
  { "setfenv", "both", "setfenv(1, {})", "not available" },
  { "newproxy", "both", "return newproxy(true)", "not available" },
  { "collectgarbage", "both", "collectgarbage('stop')", "not available" },
  { "coroutine", "both", "return coroutine.create(function() end)", "not available" },
  { "jit", "both", "jit.off()", "not available" },
  { "package", "both", "return package.loaded", "not available" },
  { "_G", "both", "return _G", "not available" },
  { "ffi literal", "rules", "return 1LL", "." },
  -- metatables
  { "metatable of text", "both", "return getmetatable('')", "false" },
  { "metatable of a library", "both", "return getmetatable(string)", "false" },
  { "write to a library", "both", "string.len = nil", "read%-only" },
  { "rawset of a library", "both", "rawset(string, 'len', nil)", "read%-only" },
  { "method of all texts", "both", "getmetatable('').__index = nil", "." },
  { "loop in __index", "both", "local t = {} setmetatable(t, { __index = function(x, k) return x[k] end }) return t.a", "." },
  { "chain of __index", "both", "local t = {} for _ = 1, 1e6 do t = setmetatable({}, { __index = t }) end return t.x", "." },
  { "loop of __index", "both", "local t = {} setmetatable(t, { __index = t }) return t.x", "." },
  { "__gc", "both", "for i = 1, 1e4 do setmetatable({}, { __gc = function() while true do end end }) end return 'fine'", "fine" },
  { "__tostring", "both", "return tostring(setmetatable({}, { __tostring = function() while true do end end }))", STOPPED },
  { "__eq", "both", "local m = { __eq = function() while true do end end }\n"
    .. "return setmetatable({}, m) == setmetatable({}, m)", STOPPED },
  { "__concat", "both", "return setmetatable({}, { __concat = function() while true do end end }) .. 'x'", STOPPED },
  { "__call", "both", "setmetatable({}, { __call = function() while true do end end })()", STOPPED },
  { "__lt in sort", "both", "local m = { __lt = function() while true do end end }\n"
    .. "table.sort({ setmetatable({}, m), setmetatable({}, m) })", STOPPED },
  -- CPU
  { "while", "both", "while true do end", STOPPED },
  { "repeat", "both", "repeat until false", STOPPED },
  { "for", "both", "for i = 1, math.huge do end", STOPPED },
  { "goto", "both", "::a:: goto a", STOPPED },
  { "tail calls", "both", "local function f() return f() end f()", STOPPED },
  { "pcall around", "both", "while true do pcall(function() while true do end end) end", STOPPED },
  { "pcall and on", "both", "pcall(function() while true do end end) return 'went on'", STOPPED },
  { "xpcall around", "both", "xpcall(function() while true do end end, function() while true do end end)", STOPPED },
  { "pcall of pcall", "both", "local function f() pcall(f) pcall(f) end f()", "." },
  { "iterator", "both", "for _ in function() return 1 end do end", STOPPED },
  { "comparator", "both", "table.sort({ 3, 1, 2 }, function() while true do end end)", STOPPED },
  { "gsub with a function", "both", "('x'):rep(100):gsub('x', function() while true do end end)", STOPPED },
  { "pattern that backtracks", "both", "return (('a'):rep(200)):find(('a?'):rep(200) .. ('a'):rep(200))", "." },
  { "pattern, quadratic", "both", "return (('a'):rep(30000)):match('.-b')", "." },
  { "frontiers and balance", "both", "return (('('):rep(60000)):find('%b()')", "." },
  { "string in a comment", "both", "--[[ while true do ]] local s = [[ end ]] while true do end --]]", STOPPED },
  { "hidden by long brackets", "both", "local s = [==[ ]] ]==] while true do local t = [[]] end", STOPPED },
  { "many comparisons", "both", "local s = 'x' for i = 1, 1e12 do s = s == 'y' and 'x' or 'y' end", STOPPED },
  { "concatenation", "both", "local s = 'x' while true do s = s .. s end", "." },
  -- memory
  { "table", "both", "local t = {} while true do t[#t + 1] = {} end", "." },
  { "text", "both", "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1e6 - 1) .. i end", "." },
  { "rep", "both", "return ('x'):rep(1e10)", "." },
  { "rep with nothing", "both", "return (''):rep(1e15)", "." },
  { "rep, negative and not a number", "both", "return ('x'):rep(-1), ('x'):rep(0 / 0)", "." },
  { "format with a width", "both", "return ('%99999d'):format(1)", "." },
  { "concat", "both", "local t = {} for i = 1, 1e5 do t[i] = 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' end\n"
    .. "local u = {} for i = 1, 1000 do u[i] = table.concat(t) end", "." },
  { "unpack", "both", "return unpack({}, 1, 1e8)", "250" },
  { "unpack, limits that are no numbers", "both", "return unpack({}, 0 / 0, 1 / 0)", "." },
  { "big array at once", "both", "local t = {} t[2 ^ 31] = 1 t[2 ^ 53] = 1 return #t", "." },
  { "closures", "both", "local t = {} for i = 1, 1e8 do t[i] = function() return i end end", "." },
  -- stack
  { "recursion", "both", "local function f(n) return 1 + f(n + 1) end return f(1)", "." },
  { "recursion through pcall", "both", "local function f(n) return pcall(f, n + 1) end return f(1)", "." },
  { "recursion through gsub", "both", "local function f(s) return (s:gsub('.', f)) end return f('xx')", "." },
  { "recursion through tostring", "both", "local t t = setmetatable({}, { __tostring = function() return tostring(t) end })\n"
    .. "return tostring(t)", "." },
  { "recursion through sort", "both", "local function f() table.sort({ 2, 1 }, function() f() return true end) end f()", "." },
  { "many locals", "both", ("local a%d = 1 "):rep(1):format(1) .. (function()
    local out = {}
    for i = 1, 250 do out[i] = "local b" .. i .. " = 1" end
    return table.concat(out, " ")
  end)(), "." },
  -- parser
  { "deep parentheses", "both", "return " .. ("("):rep(5000) .. "1" .. (")"):rep(5000), "." },
  { "deep tables", "both", "return " .. ("{"):rep(5000) .. ("}"):rep(5000), "." },
  { "deep functions", "both", ("return function() "):rep(500) .. ("end "):rep(500), "." },
  { "long line", "both", "return " .. ("1 + "):rep(100000) .. "1", "." },
  { "unfinished text", "both", "return 'abc", "unfinished" },
  { "unfinished long bracket", "both", "return [==[ abc", "unfinished" },
  { "NUL", "both", "return 1 \0 + 1", "binary" },
  { "not UTF-8", "both", "return '\255\254'", "." },
  { "empty", "both", "", "" },
  { "shebang", "both", "#!/bin/sh\nreturn 1", "." },
  { "error with a table", "both", "error({ a = setmetatable({}, { __tostring = function() while true do end end }) })", "." },
  { "error with nil", "both", "error(nil)", "." },
  { "result that is deep", "both", "local t = {} for _ = 1, 10000 do t = { t } end return t", "." },
  { "result that holds itself", "both", "local t = {} t.t = t return t", "." },
  { "many results", "both", "return unpack({ 1, 2, 3 }), function() end, math.huge, 0 / 0", "." },
  -- wrong arguments to what the host gives
  { "state with nonsense", "rules", "return window.count(nil)", "." },
  { "state with unknown option", "rules", "return window.count { spam = '1m' }", "span" },
  { "state with a table as option", "rules", "return window.count { span = {} }", "cannot be a table" },
  { "state with no end", "rules", "return window.count { span = 1 / 0 }", "." },
  { "state with NaN", "rules", "return window.count { span = 0 / 0 }", "." },
  { "state with a huge number of keys", "rules", "return window.count { span = '1m', max_keys = 1e300 }", "." },
  { "metatable of a declaration", "rules", "return getmetatable(window.count { span = '1m' })", "false" },
  { "alert with nonsense", "rules", "return alert(1)", "." },
  { "alert with itself in it", "rules", "local t = {} t.t = t return alert { score = 1, explain = t }", "." },
  { "rule outside of a file", "rules", "return rule { id = 'a.b' }", "." },
  { "txs with no end", "rules", "return txs { n = 1 / 0 }", "." },
  { "seconds of nonsense", "rules", "return seconds('10 parsecs')", "duration" },
  { "seconds of a huge text", "rules", "return seconds(('9'):rep(1e5))", "." },
  { "write to an address", "rules", "A = 'x'", "cannot set global" },
  { "global for the next", "both", "leaked = 1", "cannot set global" },
  { "field of a library for the next", "both", "math.leaked = 1", "read%-only" },
  { "is it there", "both", "return math.leaked == nil and 'clean'", "clean" },
}

-- The children of the engine: the evaluator of the live rules is one of them, and stays the same process.
local function evaluator(e)
  local _, text = engine.run("pgrep -P " .. e.pid .. " | sort | head -20")
  return text
end

describe("texts in the sandbox", function()
  local e, pid
  setup(function()
    e = engine.start { sets = { "admin.allow_eval=true", "rules.memory_mb=32", "scripts.memory_mb=32" } }
    pid = evaluator(e)
  end)
  teardown(function() e:stop() end)

  local function try(world, text)
    local began = socket.gettime()
    local status, body = e:call("POST", "/api/v1/admin/lua?world=" .. world, text, { ["Content-Type"] = "text/plain" })
    return status, type(body) == "table" and (body.output or body.detail or "") or tostring(body), socket.gettime() - began
  end

  for _, case in ipairs(CASES) do
    for _, world in ipairs(case[2] == "both" and { "rules", "scripts" } or { case[2] }) do
      it(world .. ": " .. case[1], function()
        local status, said, took = try(world, case[3])
        assert.is_true(status == 200 or status == 422, status .. " " .. said)
        assert.is_truthy(said:find(case[4]), ("wanted %q, got %d %q"):format(case[4], status, said:sub(1, 300)))
        assert.is_true(took < 6, "took " .. took .. " s")
        assert.are.equal(200, (e:get("/health/live")))
      end)
    end
  end

  it("the rules go on as they were", function()
    local status, verdict = e:post("/api/v1/predict", engine.tx())
    assert.are.equal(200, status)
    assert.is_false(verdict.duplicate)
    assert.are.equal(pid, evaluator(e))
  end)

  it("is refused where it is off, to lesser roles, and for a world that is none", function()
    assert.are.equal(400, (e:call("POST", "/api/v1/admin/lua?world=moon", "return 1")))
    assert.are.equal(413, (e:call("POST", "/api/v1/admin/lua", ("x"):rep(2 ^ 20 + 1))))
  end)
end)
