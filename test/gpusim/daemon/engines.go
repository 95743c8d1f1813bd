package daemon

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/gpulet/gpulet/test/gpusim/abi"
	"github.com/gpulet/gpulet/test/gpusim/dcgm"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

// Where DCGM is in the root folder.
const (
	// DCGMSocket is for engines that live in their clients.
	DCGMSocket = "dcgm.sock"
	// EngineSocket is the unix socket of nv-hostengine while it runs, and EnginePort holds its TCP address.
	EngineSocket = "nv-hostengine.sock"
	EnginePort   = "nv-hostengine.tcp"
)

// Engines are the DCGM host engines of a node: those embedded in clients, which go with their connection, and nv-hostengine, which
// starts and stops as the hand at the machine likes, whether the driver's side is served or not.
type Engines struct {
	node   *model.Node
	root   string
	log    *slog.Logger
	Faults dcgm.Faults

	mu       sync.Mutex // guards the rest
	lastID   uint32
	sessions map[uint32]*dcgm.Session
	remote   *hostEngine
	address  string // of the last one
}

// NewEngines has none running.
func NewEngines(node *model.Node, root string, log *slog.Logger) *Engines {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Engines{node: node, root: root, log: log, sessions: map[uint32]*dcgm.Session{}}
}

// hostEngine is a running nv-hostengine.
type hostEngine struct {
	engine *dcgm.Engine
	cancel context.CancelFunc
	group  sync.WaitGroup
}

// Start runs nv-hostengine in that version: on a unix socket in the root folder and on a free TCP port of the loopback.
func (e *Engines) Start(ctx context.Context, version string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.remote != nil {
		return errors.New("nv-hostengine runs")
	}
	unix, err := listen(ctx, filepath.Join(e.root, EngineSocket))
	if err != nil {
		return err
	}
	tcp, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cmp.Or(e.address, "127.0.0.1:0")) // where it was, if there is still room
	if err != nil && e.address != "" {
		tcp, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return errors.Join(fmt.Errorf("nv-hostengine: %w", err), unix.Close())
	}
	if err := os.WriteFile(filepath.Join(e.root, EnginePort), []byte(tcp.Addr().String()+"\n"), 0o644); err != nil {
		return errors.Join(err, unix.Close(), tcp.Close())
	}
	e.address = tcp.Addr().String()
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h := &hostEngine{cancel: cancel, engine: dcgm.New(running, dcgm.Config{
		Node: e.node, Version: version, Faults: &e.Faults, Caller: model.Caller{PID: os.Getpid(), UID: 0, Admin: true, Name: "nv-hostengine"},
	})}
	h.group.Go(func() { h.engine.Run(running) })
	h.group.Go(func() {
		<-running.Done()
		_ = unix.Close()
		_ = tcp.Close()
	})
	for _, l := range []net.Listener{unix, tcp} {
		h.group.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				h.group.Go(func() { e.serve(running, conn, h.engine) })
			}
		})
	}
	e.remote = h
	return nil
}

// Stop ends nv-hostengine: its clients find their connection gone.
func (e *Engines) Stop() {
	e.mu.Lock()
	h := e.remote
	e.remote = nil
	e.mu.Unlock()
	if h == nil {
		return
	}
	h.cancel()
	h.group.Wait()
	h.engine.Close()
	_ = os.Remove(filepath.Join(e.root, EngineSocket))
	_ = os.Remove(filepath.Join(e.root, EnginePort))
}

// serve answers one connection until it ends; engine is nil on the socket of embedded engines, where a connection brings its own.
func (e *Engines) serve(ctx context.Context, conn net.Conn, engine *dcgm.Engine) {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer func() { _ = conn.Close() }()
	defer cancel()
	frames := make(chan []byte)
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
	group.Go(func() {
		<-ctx.Done()
		_ = conn.Close()
	})
	session, leave, err := e.hello(ctx, conn, frames, engine, &group)
	if err != nil {
		e.log.Debug("no client of DCGM", "reason", err)
		return
	}
	defer leave()
	defer cancel()
	for frame := range frames {
		name, args, err := parse(frame)
		if err != nil || len(args) < 1 {
			return
		}
		status, out, d := session.Call(ctx, name, args[0].In)
		if ctx.Err() != nil {
			return
		}
		if _, err := conn.Write(reply(status, out, d)); err != nil {
			return
		}
	}
}

// reply is an answer with what the library does to its process.
func reply(status dcgm.Status, out []byte, d dcgm.Directive) []byte {
	args := []abi.Arg{{Out: out}, {}}
	if d.Kind != 0 {
		args[1].Out = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(nil, d.Kind), d.MiB)
	}
	return answer(model.Return(status), args, nil)
}

// hello reads the first frame: the session to join, 0 for a new one, and the library's version.
func (e *Engines) hello(ctx context.Context, conn net.Conn, frames <-chan []byte, engine *dcgm.Engine, group *sync.WaitGroup) (s *dcgm.Session, leave func(), err error) {
	frame, ok := <-frames
	if !ok {
		return nil, nil, errFrame
	}
	name, args, err := parse(frame)
	if err != nil || name != "dcgm" || len(args) == 0 || len(args[0].In) < 4 {
		return nil, nil, errFrame
	}
	id, version := binary.LittleEndian.Uint32(args[0].In), string(args[0].In[4:])
	leave = func() {}
	e.mu.Lock()
	s = e.sessions[id]
	e.mu.Unlock()
	if id != 0 && s == nil {
		return nil, nil, fmt.Errorf("no session %d", id)
	}
	var d dcgm.Directive
	if s == nil {
		call := "dcgmConnect"
		if engine == nil {
			call = "dcgmStartEmbedded"
		}
		var code dcgm.Status
		if d, code, ok = e.Faults.Suffer(ctx, call); !ok {
			_, err := conn.Write(reply(code, nil, d))
			return nil, nil, errors.Join(fmt.Errorf("%s fails as it should", call), err)
		}
		closeEngine := func() {}
		if engine == nil {
			caller, err := peer(conn.(*net.UnixConn))
			if err != nil {
				return nil, nil, err
			}
			engine = dcgm.New(ctx, dcgm.Config{Node: e.node, Version: version, Faults: &e.Faults, Caller: caller, Embedded: true})
			done := make(chan struct{})
			running := engine
			group.Go(func() { defer close(done); running.Run(ctx) })
			closeEngine = func() { <-done; running.Close() }
		}
		s = engine.Session()
		e.mu.Lock()
		e.lastID++
		id = e.lastID
		e.sessions[id] = s
		e.mu.Unlock()
		leave = func() {
			e.mu.Lock()
			delete(e.sessions, id)
			e.mu.Unlock()
			s.Close()
			closeEngine()
		}
	}
	if _, err := conn.Write(reply(dcgm.OK, binary.LittleEndian.AppendUint32(nil, id), d)); err != nil {
		leave()
		return nil, nil, err
	}
	return s, leave, nil
}
