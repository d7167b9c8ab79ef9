package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/testenv"
)

// TestCRIMany: many pods at once, every other one in the host's network, each with a
// container. All lists are whole, and with -long, and 300 pods, what they take is shown.
func TestCRIMany(t *testing.T) {
	h := startOwn(t)
	k := h.kubelet()
	count := 40
	if *long {
		count = 300
		var cancel context.CancelFunc
		k.ctx, cancel = context.WithTimeout(context.Background(), testenv.Patience(10*time.Minute))
		defer cancel()
	}
	before := h.pss(h.daemon())
	pods := k.many(count)
	now := h.pss(h.daemon())
	t.Logf("the daemon has %d MB, %d KB for each of %d pods", now>>20, (now-before)>>10/count, count)
	for _, one := range []struct {
		what string
		ask  func() (int, error)
	}{
		{"ListPodSandbox", func() (int, error) {
			r, err := k.ListPodSandbox(k.ctx, &cri.ListPodSandboxRequest{})
			return len(r.GetItems()), err
		}},
		{"ListContainers", func() (int, error) {
			r, err := k.ListContainers(k.ctx, &cri.ListContainersRequest{})
			return len(r.GetContainers()), err
		}},
		{"ListContainerStats", func() (int, error) {
			r, err := k.ListContainerStats(k.ctx, &cri.ListContainerStatsRequest{})
			return len(r.GetStats()), err
		}},
		{"ListPodSandboxStats", func() (int, error) {
			r, err := k.ListPodSandboxStats(k.ctx, &cri.ListPodSandboxStatsRequest{})
			return len(r.GetStats()), err
		}},
		{"ListPodSandboxMetrics", func() (int, error) {
			r, err := k.ListPodSandboxMetrics(k.ctx, &cri.ListPodSandboxMetricsRequest{})
			return len(r.GetPodMetrics()), err
		}},
		{"Status", func() (int, error) {
			_, err := k.Status(k.ctx, &cri.StatusRequest{})
			return count, err
		}},
	} {
		var took []time.Duration
		for range 20 {
			began := time.Now()
			n, err := one.ask()
			if took = append(took, time.Since(began)); err != nil || n != count {
				t.Fatalf("%s: %d of %d, %v", one.what, n, count, err)
			}
		}
		slices.Sort(took)
		t.Logf("%-22s least %v, median %v", one.what, took[0].Round(10*time.Microsecond), took[10].Round(10*time.Microsecond))
	}
	var all sync.WaitGroup
	for _, pod := range pods {
		all.Go(func() {
			if _, err := k.RemovePodSandbox(k.ctx, &cri.RemovePodSandboxRequest{PodSandboxId: pod}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// many makes pods with a container each, eight at a time.
func (k *kubelet) many(count int) []string {
	k.Helper()
	pods := make([]string, count)
	next := make(chan int)
	var makers sync.WaitGroup
	for range 8 {
		makers.Go(func() {
			for i := range next {
				if err := k.one(i, &pods[i]); err != nil {
					k.Errorf("pod %d: %v", i, err)
				}
			}
		})
	}
	began := time.Now()
	for i := range pods {
		next <- i
	}
	close(next)
	makers.Wait()
	k.Logf("%d pods in %v", count, time.Since(began).Round(time.Millisecond))
	if k.Failed() {
		k.FailNow()
	}
	return pods
}

func (k *kubelet) one(i int, pod *string) error {
	s := k.sandbox(func(c *cri.PodSandboxConfig) {
		c.Metadata.Name = fmt.Sprintf("many-%d", i)
		c.Metadata.Uid = c.Metadata.Name
		if i%2 == 0 {
			c.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_NODE
			c.Hostname = ""
		}
	})
	p, err := k.RunPodSandbox(k.ctx, &cri.RunPodSandboxRequest{Config: s})
	if err != nil {
		return err
	}
	*pod = p.GetPodSandboxId()
	c, err := k.CreateContainer(k.ctx, k.ask(*pod, s, "exec sleep 1000000"))
	if err != nil {
		return err
	}
	_, err = k.StartContainer(k.ctx, &cri.StartContainerRequest{ContainerId: c.GetContainerId()})
	return err
}
