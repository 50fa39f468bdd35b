package gpu

// QueryWithin is Query with other patience.
var QueryWithin = query
