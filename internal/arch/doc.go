// Package arch holds the rules of this house as tests: who may import whom, how
// large a thing may grow, what must be said about it. It reads the module's source
// and changes nothing.
//
// A rule that something breaks for a good reason has a line in exceptions.txt with
// that reason and, where the rule is a limit, the exact figure. The list only
// shrinks: an exception that is no longer needed, or whose figure has become
// better, fails the test until the line is taken out or lowered.
package arch
