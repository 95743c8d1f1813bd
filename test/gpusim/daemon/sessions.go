package daemon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/gpulet/gpulet/test/gpusim/abi"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

// sessions are the processes that have the library loaded. All connections of one process are one client of the node; what it
// holds is given back when its last connection closes, as at the end of a process.
type sessions struct {
	node  *model.Node
	table map[string]abi.Handler
	log   *slog.Logger

	mu      sync.Mutex // guards the rest
	clients map[process]*session
}

// process is who calls: the id alone may be 0 (another PID namespace), or be used again.
type process struct {
	pid   int32
	token string
}

type session struct {
	client      *model.Client
	connections int
}

func newSessions(node *model.Node, log *slog.Logger) *sessions {
	return &sessions{node: node, table: abi.Table(), log: log, clients: map[process]*session{}}
}

func (s *sessions) join(p process, caller model.Caller) *model.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[p]
	if c == nil {
		c = &session{client: s.node.Connect(caller)}
		s.clients[p] = c
	}
	c.connections++
	return c.client
}

func (s *sessions) leave(p process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[p]
	if c.connections--; c.connections == 0 {
		c.client.Close()
		delete(s.clients, p)
	}
}

// serve answers one connection until it ends. A second goroutine reads, so that a client that dies in a blocked call is noticed.
func (s *sessions) serve(ctx context.Context, conn *net.UnixConn) {
	ctx, cancel := context.WithCancel(ctx)
	frames := make(chan []byte)
	var group sync.WaitGroup
	defer group.Wait()
	defer func() { _ = conn.Close() }()
	defer cancel()
	group.Go(func() {
		defer cancel()
		defer close(frames)
		r := bufio.NewReader(conn)
		for {
			frame, err := readFrame(r)
			if err != nil {
				return
			}
			select {
			case frames <- frame:
			case <-ctx.Done():
				return
			}
		}
	})
	group.Go(func() { // a call that blocks ends with the daemon
		<-ctx.Done()
		_ = conn.Close()
	})
	k, who, err := s.hello(conn, frames)
	if err != nil {
		s.log.Debug("no client", "reason", err)
		return
	}
	defer s.leave(who)
	for frame := range frames {
		name, args, err := parse(frame)
		if err != nil {
			s.log.Error("client speaks nonsense", "pid", who.pid, "reason", err)
			return
		}
		call := k
		call.Name, call.Args = name, args
		ret := call.Do(ctx, s.table)
		if ctx.Err() != nil {
			return
		}
		if _, err := conn.Write(answer(ret, call.Args, call.Strings)); err != nil {
			return
		}
	}
}

// hello reads the first frame: token, base and size of the handles, driver version.
func (s *sessions) hello(conn *net.UnixConn, frames <-chan []byte) (abi.Call, process, error) {
	frame, ok := <-frames
	if !ok {
		return abi.Call{}, process{}, errFrame
	}
	name, args, err := parse(frame)
	if err != nil || name != "hello" || len(args) != 4 || len(args[1].In) != 8 || len(args[2].In) != 8 {
		return abi.Call{}, process{}, errFrame
	}
	caller, err := peer(conn)
	if err != nil {
		return abi.Call{}, process{}, err
	}
	_, version, _ := strings.Cut(string(bytes.TrimRight(args[3].In, "\x00")), ":")
	caller.Library = version
	who := process{int32(caller.PID), string(args[0].In)}
	if _, err := conn.Write(answer(model.Success, nil, nil)); err != nil {
		return abi.Call{}, process{}, err
	}
	le := binary.LittleEndian
	return abi.Call{Client: s.join(who, caller), Base: le.Uint64(args[1].In), Size: le.Uint64(args[2].In)}, who, nil
}

// peer asks the kernel who is at the other end.
func peer(conn *net.UnixConn) (model.Caller, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return model.Caller{}, err
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return model.Caller{}, err
	}
	if failed != nil {
		return model.Caller{}, fmt.Errorf("credentials of the client: %w", failed)
	}
	c := model.Caller{PID: int(cred.Pid), UID: int(cred.Uid)}
	if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cred.Pid)); err == nil {
		c.Name = strings.TrimSpace(string(data))
	}
	c.Admin = administrator(c.PID)
	return c, nil
}

// administrator reads CAP_SYS_ADMIN of a process.
func administrator(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(data), "\nCapEff:\t")
	line, _, _ := strings.Cut(rest, "\n")
	caps, err := strconv.ParseUint(line, 16, 64)
	return err == nil && caps&(1<<unix.CAP_SYS_ADMIN) != 0
}
