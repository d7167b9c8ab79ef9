package status

// StartError is a start that did not succeed, with the exit code that `run` ends
// with: 127 for a missing command, 126 for one that is not executable, else 125.
type StartError struct {
	Code int
	Err  error
}

// Error is the cause's text.
func (s *StartError) Error() string { return s.Err.Error() }

// Unwrap returns the cause.
func (s *StartError) Unwrap() error { return s.Err }

// DeadlineError is the end of an exec by its own timeout, in distinction to the end
// of the caller's patience.
type DeadlineError struct{ Err error }

// Error is the cause's text.
func (d *DeadlineError) Error() string { return d.Err.Error() }

// Unwrap returns the cause.
func (d *DeadlineError) Unwrap() error { return d.Err }
