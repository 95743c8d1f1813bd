// Command pause waits and reaps. As the first process of a pod's sandbox it waits to be told to
// stop. As the first process of a node (`pause --cluster DIR NAME`) it is what keeps the node's
// namespaces alive: when it ends, the kernel ends everything in them. With --until-eof it also ends
// when its standard input does, which is when the program that started the node is gone.
package main

import (
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

func main() {
	if slices.Contains(os.Args[1:], "--until-eof") {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}
