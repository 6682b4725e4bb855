-- trace.lua - what traced rules call in place of comparisons and conditions. Compiled into the engine, once per VM.
local note, pcall, error, type, match = ...

-- An error of the comparison itself is raised again as if it had happened in the rule: same words, its file and line.
local function compare(op)
  return function(site, a, b)
    local ok, result = pcall(op, a, b)
    if not ok then
      if type(result) ~= "string" then error(result, 0) end
      error(match(result, "^=?trace:%d+: (.*)$") or result, 2)
    end
    note(site, result, a, b)
    return result
  end
end

return {
  lt = compare(function(a, b) return a < b end), le = compare(function(a, b) return a <= b end),
  gt = compare(function(a, b) return a > b end), ge = compare(function(a, b) return a >= b end),
  eq = compare(function(a, b) return a == b end), ne = compare(function(a, b) return a ~= b end),
  when = function(site, value)
    note(site, value)
    return value
  end,
  back = function(site) note(site) end,
}
