package pod

// The engine's work is divided among these parts. Each is the engine itself, seen by
// those who need only that part.
type (
	// registry is the engine's maps: who has which name, ID and range. Its methods named
	// …Locked are called with Engine.mu held.
	registry struct{ *Engine }
	// maker makes pods and containers, up to where they could run.
	maker struct{ *Engine }
	// starter brings sandboxes up and starts containers in them.
	starter struct{ *Engine }
	// ender sees to the ends of processes, asked for or not, and to what follows.
	ender struct{ *Engine }
	// remover removes what does not run.
	remover struct{ *Engine }
	// recovery brings records and machine together after a daemon's end.
	recovery struct{ *Engine }
)
