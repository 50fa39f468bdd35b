package posetest

// Embed is for tests that have models and runtimes of their own.
var Embed = embed
