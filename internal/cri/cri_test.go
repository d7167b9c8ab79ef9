package cri

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	crierrors "k8s.io/cri-api/pkg/errors"

	"carob/internal/fault"
	"carob/internal/status"
)

func TestCodes(t *testing.T) {
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	gone, leave := context.WithCancel(t.Context())
	leave()
	for _, tt := range []struct {
		ctx  context.Context
		err  error
		want codes.Code
	}{
		{t.Context(), nil, codes.OK},
		{t.Context(), fault.New(fault.Invalid, "x"), codes.InvalidArgument},
		{t.Context(), fmt.Errorf("a: %w", fault.New(fault.NotFound, "x")), codes.NotFound},
		{t.Context(), fault.New(fault.Exists, "x"), codes.AlreadyExists},
		{t.Context(), fault.New(fault.Conflict, "x"), codes.FailedPrecondition},
		{t.Context(), fault.New(fault.Unsupported, "x"), codes.FailedPrecondition},
		{t.Context(), fault.New(fault.Unavailable, "x"), codes.Unavailable},
		{t.Context(), fault.New(fault.Denied, "x"), codes.PermissionDenied},
		{t.Context(), errors.New("x"), codes.Internal},
		{t.Context(), &status.DeadlineError{Err: fault.New(fault.Unavailable, "x")}, codes.DeadlineExceeded},
		{late, fault.New(fault.Unavailable, "x"), codes.DeadlineExceeded},
		{gone, fault.New(fault.Unavailable, "x"), codes.Canceled},
	} {
		if got := grpcstatus.Code(coded(tt.ctx, tt.err)); got != tt.want {
			t.Errorf("%v is %v, want %v", tt.err, got, tt.want)
		}
	}
}

// TestRate: CPU use between two readings that are far enough apart.
func TestRate(t *testing.T) {
	n := &stats{last: map[string]reading{}, trees: map[string]tree{}}
	at := time.Unix(1000, 0)
	for _, step := range []struct {
		after time.Duration
		total uint64
		want  uint64
	}{
		{0, 5e9, 0},
		{2 * time.Second, 6e9, 5e8},
		{2500 * time.Millisecond, 9e9, 5e8}, // too soon: the rate of before
		{4 * time.Second, 8e9, 1e9},
		{5 * time.Second, 1e9, 0}, // another process: it began anew
		{5*time.Second + 2*keepReading, 9e9, 0},
	} {
		if got := n.rate("c", at.Add(step.after), step.total); got != step.want {
			t.Errorf("after %v: %d, want %d", step.after, got, step.want)
		}
	}
	n.rate("new", at.Add(time.Hour), 1)
	if len(n.last) != 1 {
		t.Errorf("readings of those who have gone stay: %v", n.last)
	}
}

// TestWrittenIsForgotten: who asks for nothing but metrics leaves nothing of containers that
// have gone, either.
func TestWrittenIsForgotten(t *testing.T) {
	n := &stats{s: Services{Root: t.TempDir()}, last: map[string]reading{}, trees: map[string]tree{}}
	n.trees["gone"] = tree{at: time.Now().Add(-2 * keepReading)}
	if _, _, err := n.written(t.Context(), "new"); err != nil {
		t.Fatal(err)
	}
	if _, stays := n.trees["gone"]; stays || len(n.trees) != 1 {
		t.Errorf("counts of those who have gone stay: %v", n.trees)
	}
}

// TestTreeHolds: what took long to count is counted less often.
func TestTreeHolds(t *testing.T) {
	at := time.Unix(1000, 0)
	for _, tt := range []struct {
		took, age time.Duration
		want      bool
	}{
		{time.Millisecond, 9 * time.Second, true}, {time.Millisecond, 11 * time.Second, false},
		{3 * time.Second, 59 * time.Second, true}, {3 * time.Second, 61 * time.Second, false},
	} {
		if got := (tree{at: at, took: tt.took}).holds(at.Add(tt.age)); got != tt.want {
			t.Errorf("%v after a count of %v: %v", tt.age, tt.took, got)
		}
	}
}

// TestInPieces: no message has too many items, too many bytes, or none.
func TestInPieces(t *testing.T) {
	big := &cri.PodSandbox{Annotations: map[string]string{"a": strings.Repeat("x", pieceBytes/3)}}
	huge := &cri.PodSandbox{Annotations: map[string]string{"a": strings.Repeat("x", 2*pieceBytes)}}
	for name, tt := range map[string]struct {
		all  []*cri.PodSandbox
		want []int
	}{
		"many":      {slices.Repeat([]*cri.PodSandbox{{}}, 2*piece+1), []int{piece, piece, 1}},
		"large":     {slices.Repeat([]*cri.PodSandbox{big}, 5), []int{2, 2, 1}},
		"one alone": {[]*cri.PodSandbox{{}, huge, {}}, []int{1, 1, 1}},
		"none":      {nil, nil},
	} {
		var sizes []int
		err := inPieces(tt.all, func(some []*cri.PodSandbox) error { sizes = append(sizes, len(some)); return nil })
		if err != nil || !slices.Equal(sizes, tt.want) {
			t.Errorf("%s: %v, %v", name, sizes, err)
		}
	}
}

func TestEventKinds(t *testing.T) {
	for _, tt := range []struct {
		kind, action string
		want         string
	}{
		{"container", "create", "CONTAINER_CREATED_EVENT c"}, {"pod", "start", "CONTAINER_STARTED_EVENT p"},
		{"container", "exit", "CONTAINER_STOPPED_EVENT c"}, {"pod", "stop", "CONTAINER_STOPPED_EVENT p"},
		{"container", "remove", "CONTAINER_DELETED_EVENT c"}, {"container", "stop", ""}, {"container", "oom", ""}, {"pod", "step", ""},
	} {
		kind, id, known := eventKind(status.Event{Type: tt.kind, Action: tt.action, PodID: "p", ContainerID: "c"})
		got := ""
		if known {
			got = kind.String() + " " + id
		}
		if got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.kind, tt.action, got, tt.want)
		}
	}
}

func TestSemantic(t *testing.T) {
	for version, want := range map[string]string{
		"1.2.3": "1.2.3", "v1.2.3-rc.1": "v1.2.3-rc.1", "36a2813": "0.0.0+36a2813", "36a2813-dirty": "0.0.0+36a2813-dirty", "dev": "0.0.0+dev",
	} {
		if got := semantic(version); got != want {
			t.Errorf("%s is %s, want %s", version, got, want)
		}
	}
}

func TestPullFailure(t *testing.T) {
	gone, leave := context.WithCancel(t.Context())
	leave()
	unsigned := fmt.Errorf("%w: no signature", crierrors.ErrSignatureValidationFailed)
	for _, tt := range []struct {
		ctx  context.Context
		err  error
		code codes.Code
		text string
	}{
		{t.Context(), fault.New(fault.Unavailable, "x"), codes.Unknown, "RegistryUnavailable: x"},
		{t.Context(), fault.Wrap(fault.Denied, "", unsigned), codes.Unknown, "SignatureValidationFailed: no signature"},
		{t.Context(), fault.New(fault.Denied, "x"), codes.PermissionDenied, "x"},
		{gone, fault.New(fault.Unavailable, "x"), codes.Canceled, "x"},
	} {
		got, _ := grpcstatus.FromError(coded(tt.ctx, pullFailure(tt.ctx, tt.err)))
		if got.Code() != tt.code || got.Message() != tt.text {
			t.Errorf("%v is %v", tt.err, got)
		}
	}
	if err := pullFailure(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestReport(t *testing.T) {
	for _, tt := range []struct {
		req  any
		err  error
		want string
	}{
		{nil, nil, ""},
		{&cri.StopContainerRequest{ContainerId: "c"}, errors.New("x"), `level=ERROR msg="cri Do" container=c error=x`},
		{&cri.ExecSyncRequest{ContainerId: "c"}, fault.New(fault.Conflict, "x"), `level=INFO msg="cri Do" container=c error=x`},
		{&cri.PullImageRequest{Image: &cri.ImageSpec{Image: "i"}}, fault.New(fault.Unavailable, "x"), `level=WARN msg="cri Do" image=i error=x`},
		{&cri.StopPodSandboxRequest{PodSandboxId: "p"}, fault.New(fault.NotFound, "x"), `level=DEBUG msg="cri Do" pod=p error=x`},
		{
			&cri.RunPodSandboxRequest{Config: &cri.PodSandboxConfig{Metadata: &cri.PodSandboxMetadata{Name: "n", Namespace: "s"}}},
			fault.New(fault.Invalid, "x"), `level=INFO msg="cri Do" name=s/n error=x`,
		},
		{
			&cri.CreateContainerRequest{PodSandboxId: "p", Config: &cri.ContainerConfig{Metadata: &cri.ContainerMetadata{Name: "n"}}},
			fault.New(fault.Invalid, "x"), `level=INFO msg="cri Do" pod=p name=n error=x`,
		},
		{nil, fault.New(fault.Invalid, "x"), `level=INFO msg="cri Do" error=x`},
	} {
		var b bytes.Buffer
		log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
		failure{"/runtime.v1.X/Do", tt.req, coded(t.Context(), tt.err)}.report(t.Context(), log)
		if _, got, _ := strings.Cut(strings.TrimSpace(b.String()), " "); got != tt.want {
			t.Errorf("%T, %v: %s, want %s", tt.req, tt.err, got, tt.want)
		}
	}
}
