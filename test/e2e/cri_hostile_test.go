package e2e

import (
	"context"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestCRIHostile calls every RPC that there is with nothing in the request, and with
// every string of it hostile. The answer is a refusal or nothing to do; the daemon is the
// same one afterwards.
func TestCRIHostile(t *testing.T) {
	k := start(t).kubelet()
	daemon := k.daemon()
	services := (&cri.VersionRequest{}).ProtoReflect().Descriptor().ParentFile().Services()
	for i := range services.Len() {
		methods := services.Get(i).Methods()
		for j := range methods.Len() {
			for _, text := range []string{"", "../../../etc/passwd", strings.Repeat("a", 70000), "a\nb c", "-rf"} {
				err := k.call(methods.Get(j), text)
				switch c := grpcstatus.Code(err); c {
				case codes.OK, codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.Unimplemented, codes.Canceled, codes.PermissionDenied:
				default:
					t.Errorf("%s with %.20q: %v", methods.Get(j).FullName(), text, err)
				}
			}
		}
	}
	if now := k.daemon(); now != daemon {
		t.Errorf("daemon %d is %d now", daemon, now)
	}
	l, err := k.ListPodSandbox(k.ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range l.GetItems() { // a name of 70000 letters must not be one
		t.Errorf("left: %.200v", p)
	}
}

// call calls an RPC and reads what it streams to its end; one that has none is left as
// soon as it has begun.
func (k *kubelet) call(m protoreflect.MethodDescriptor, text string) error {
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	request, answer := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
	fill(request, text, 6)
	name := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
	if !m.IsStreamingServer() {
		return k.conn.Invoke(ctx, name, request, answer)
	}
	s, err := k.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, name)
	if err != nil {
		return err
	}
	if err := s.SendMsg(request); err != nil {
		return err
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	if m.Name() == "GetContainerEvents" {
		_, err := s.Header()
		return err
	}
	for err == nil {
		err = s.RecvMsg(answer)
	}
	if err == io.EOF {
		err = nil
	}
	return err
}

// fill sets every string of a message to text, and every message in it down to a depth.
func fill(m protoreflect.Message, text string, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case text == "" || depth == 0 || f.Name() == "windows": // which are refused before all else
		case f.IsMap():
			m.Mutable(f).Map().Set(protoreflect.ValueOfString(text).MapKey(), m.Mutable(f).Map().NewValue())
		case f.IsList() && f.Kind() == protoreflect.StringKind:
			m.Mutable(f).List().Append(protoreflect.ValueOfString(text))
		case f.IsList() && f.Kind() == protoreflect.MessageKind:
			fill(m.Mutable(f).List().AppendMutable().Message(), text, depth-1)
		case f.IsList():
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString(text))
		case f.Kind() == protoreflect.MessageKind:
			fill(m.Mutable(f).Message(), text, depth-1)
		}
	}
}
