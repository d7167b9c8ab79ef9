package stream

import (
	"context"
	"io"
	"net"
	"time"

	"carob/internal/fault"
	"carob/internal/sys/netns"
)

const (
	// dialTime bounds a connection to a loopback.
	dialTime = 10 * time.Second
	// answerTime is how long an answer may take when the client sends no more: whether it
	// still listens a stream does not say.
	answerTime = time.Minute
)

// PortForward connects a stream with a port on the sandbox's loopback.
func (r *runtime) PortForward(ctx context.Context, sandboxID string, port int32, stream io.ReadWriteCloser) error {
	conn, err := r.dial(ctx, sandboxID, port)
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, stream) // ends with the client or the connection
		_ = conn.CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(answerTime))
	}()
	_, err = io.Copy(stream, conn)
	return err
}

func (r *runtime) dial(ctx context.Context, sandboxID string, port int32) (*net.TCPConn, error) {
	if port < 1 || port > 1<<16-1 {
		return nil, fault.New(fault.Invalid, "port-forward: port is not from 1 to 65535")
	}
	p, err := r.e.Pod(sandboxID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	socket, err := netns.DialProcess(ctx, p.Pid, p.Namespaces["net"], uint16(port))
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), "sandbox "+p.Name+": port-forward", err)
	}
	defer func() { _ = socket.Close() }() // the connection has its own
	conn, err := net.FileConn(socket)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, fault.New(fault.Internal, "port-forward: not a TCP connection")
	}
	return tcp, nil
}
