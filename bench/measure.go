package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// A scenario is one thing to wait for, done by carob (the first subject) and by
// others.
type scenario struct {
	name string
	// budget in milliseconds for carob, 0 without one.
	budget float64
	// apart is how long the machine rests before each round: not all that is made is made
	// right after the last one, and carob prepares for the next.
	apart    time.Duration
	subjects []subject
}

// A subject does the thing once. What before and after do is not measured.
type subject struct {
	name          string
	before, after func(context.Context) error
	once          func(context.Context) error
}

// measure lets all subjects do it in turns, and returns the times by subject.
func measure(ctx context.Context, s scenario, rounds int) ([][]time.Duration, error) {
	took := make([][]time.Duration, len(s.subjects))
	for round := range rounds + 1 {
		time.Sleep(s.apart)
		for i, who := range s.subjects {
			d, err := who.measure(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", who.name, err)
			}
			if round > 0 { // the first fills caches
				took[i] = append(took[i], d)
			}
		}
	}
	return took, nil
}

func (s subject) measure(ctx context.Context) (time.Duration, error) {
	if s.before != nil {
		if err := s.before(ctx); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	if err := s.once(ctx); err != nil {
		return 0, err
	}
	took := time.Since(began)
	if s.after != nil {
		return took, s.after(ctx)
	}
	return took, nil
}

// show prints one line per subject. The ratio is the median over the rounds of
// this subject's time divided by carob's in the same round.
func show(w io.Writer, s scenario, took [][]time.Duration) {
	for i, who := range s.subjects {
		ratios := make([]float64, len(took[i]))
		for r := range ratios {
			ratios[r] = float64(took[i][r]) / float64(took[0][r])
		}
		budget := ""
		if i == 0 && s.budget > 0 {
			budget = fmt.Sprintf("%.1f", s.budget)
		}
		fmt.Fprintf(w, "%s\t%s\t%.2f\t%.2f\t%.2f\t%.1f×\t%s\n", s.name, who.name,
			ms(slices.Min(took[i])), ms(median(took[i])), ms(slices.Max(took[i])), median(ratios), budget)
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// median returns the middle of the values, which it leaves in their order.
func median[T time.Duration | float64](v []T) T {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}
