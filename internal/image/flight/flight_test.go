package flight

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"carob/internal/fault"
)

func TestManyShareOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[int]
		var flown, led atomic.Int32
		release := make(chan struct{})
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				n, leads, err := g.Wait(t.Context(), "k", func(context.Context) (int, error) {
					flown.Add(1)
					<-release
					return 7, nil
				})
				if leads {
					led.Add(1)
				}
				if n != 7 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
			})
		}
		synctest.Wait()
		close(release)
		all.Wait()
		if flown.Load() != 1 || led.Load() != 1 || len(g.all) != 0 {
			t.Errorf("flown %d times, %d led, %d left", flown.Load(), led.Load(), len(g.all))
		}
	})
}

// The one who began may leave; the last to leave ends the work, and whoever comes then
// begins it anew.
func TestLastOneCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[int]
		ended := make(chan struct{})
		fly := func(ctx context.Context) (int, error) {
			<-ctx.Done()
			close(ended)
			return 0, ctx.Err()
		}
		first, leave := context.WithCancel(t.Context())
		second, leaveToo := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for _, ctx := range []context.Context{first, second} {
			all.Go(func() {
				if _, _, err := g.Wait(ctx, "k", fly); !errors.Is(err, context.Canceled) || !fault.Is(err, fault.Unavailable) {
					t.Errorf("left with %v", err)
				}
			})
			synctest.Wait()
		}
		leave()
		synctest.Wait()
		select {
		case <-ended:
			t.Fatal("it ended with the first")
		default:
		}
		leaveToo()
		all.Wait()
		<-ended
		if n, leads, err := g.Wait(t.Context(), "k", func(context.Context) (int, error) { return 1, nil }); n != 1 || !leads || err != nil {
			t.Errorf("anew: %d, %v, %v", n, leads, err)
		}
	})
}
