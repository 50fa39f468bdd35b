package worker

// CloseNetwork is what a worker does first, for a test that looks at each of its threads.
var CloseNetwork = closeNetwork
