--- Request parameters as the repositories take them. Pure functions.
local M = {}

--- Times arrive as seconds; repositories take RFC 3339 text, which keeps them exact.
function M.times(params)
  for _, name in ipairs { "since", "until" } do
    if type(params[name]) == "number" then params[name] = time.format(params[name]) end
  end
  return params
end

return M
