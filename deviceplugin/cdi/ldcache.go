package cdi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// linkerConfig tells later runs of ldconfig in the container of our folders.
const linkerConfig = "/etc/ld.so.conf.d/00-gpulet.conf"

// updateCache lets a container's dynamic linker find the libraries of some folders: the host's ldconfig, which changes its root
// to the container's before it reads anything, makes the cache and the short names. The container's own programs are not run.
func updateCache(ctx context.Context, root *rootfs, program string, folders []string) error {
	for _, f := range folders {
		if !filepath.IsAbs(f) || strings.ContainsAny(f, "\n\r") {
			return fmt.Errorf("%q is not a folder", f)
		}
	}
	written := root.writeFile(linkerConfig, strings.Join(folders, "\n")+"\n")
	if program == "" {
		return errors.Join(written, errors.New("the host has no ldconfig"))
	}
	args := append([]string{"-r", root.path, "-C", "/etc/ld.so.cache", "-f", "/etc/ld.so.conf"}, folders...)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = hookEnv()
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", program, err, bytes.TrimSpace(out[:min(len(out), 500)]))
	}
	return errors.Join(written, err)
}

// ldconfig finds the host's program. Ubuntu's is a script around the real one.
func ldconfig() string {
	for _, p := range []string{"/sbin/ldconfig.real", "/usr/sbin/ldconfig.real", "/sbin/ldconfig", "/usr/sbin/ldconfig", "/run/current-system/sw/bin/ldconfig"} {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return p
		}
	}
	return ""
}
