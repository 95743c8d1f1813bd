package cdi

import (
	"path"
	"slices"

	"tags.cncf.io/container-device-interface/specs-go"
)

// writeDriver writes the spec of what all containers with a GPU share: control nodes, libraries, programs and the hooks that
// make the libraries found.
func (s *Specs) writeDriver(control []node) DriverState {
	st := DriverState{Version: s.driver.version, Libraries: len(s.driver.libraries), Reason: s.driver.reason}
	data, err := encode(spec(driverClass, driverName, s.cfg.driverEdits(s.driver, control)))
	changed := false
	if err == nil {
		changed, err = s.folder.write(driverFile, data)
	}
	if err != nil {
		st.Reason = err.Error()
		return st
	}
	if changed {
		s.cfg.Log.Info("wrote the CDI spec of the driver", "version", st.Version, "libraries", st.Libraries)
	}
	st.File = driverFile
	return st
}

func (c Config) driverEdits(d driverFiles, control []node) specs.ContainerEdits {
	e := specs.ContainerEdits{DeviceNodes: c.edit(control)}
	mount := func(file, at string, options ...string) {
		e.Mounts = append(e.Mounts, &specs.Mount{
			HostPath: path.Join(c.HostDriverRoot, file), ContainerPath: at,
			Options: append([]string{"nosuid", "nodev", "rbind", "rprivate"}, options...),
		})
	}
	var links, folders []string
	for _, l := range d.libraries {
		mount(l.path, l.path, "ro")
		folders = append(folders, path.Dir(l.path))
		for _, n := range shortNames(l) {
			short := path.Join(path.Dir(l.path), n.name)
			if c.HookHostPath == "" {
				mount(l.path, short, "ro")
			} else {
				links = append(links, short+"="+n.to)
			}
		}
	}
	for _, p := range d.programs {
		mount(p.file, p.path, "ro")
	}
	for _, p := range d.firmware {
		mount(p, p, "ro")
	}
	for _, p := range d.sockets {
		mount(p, p, "noexec")
	}
	if c.HookHostPath == "" || len(d.libraries) == 0 {
		return e
	}
	slices.Sort(folders)
	e.Hooks = []*specs.Hook{
		c.hook(hookLinks, links),
		c.hook(hookCache, slices.Compact(folders)),
	}
	return e
}

type shortName struct{ name, to string }

// shortNames are the names by which a library is found. Programs that are built in the container ask for libcuda.so.
func shortNames(l library) []shortName {
	if l.soname == "" {
		return nil
	}
	names := []shortName{{l.soname, path.Base(l.path)}}
	if l.soname == "libcuda.so.1" {
		names = append(names, shortName{"libcuda.so", l.soname})
	}
	return names
}

// hook runs gpulet in the container's namespaces before its process starts. Its environment is given, because a runtime may
// otherwise pass that of the container's image, with an LD_PRELOAD of its own.
func (c Config) hook(name string, args []string) *specs.Hook {
	timeout := hookTimeout
	return &specs.Hook{
		HookName: "createContainer", Path: c.HookHostPath, Args: append([]string{path.Base(c.HookHostPath), "cdi-hook", name}, args...),
		Env: hookEnv(), Timeout: &timeout,
	}
}

func hookEnv() []string { return []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"} }
