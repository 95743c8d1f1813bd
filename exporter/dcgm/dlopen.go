package dcgm

// #cgo LDFLAGS: -ldl
// #include <dlfcn.h>
// #include <stdlib.h>
// static void *gpulet_open(const char *path) { return dlopen(path, RTLD_LAZY | RTLD_GLOBAL); }
import "C"

import (
	"cmp"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/gpulet/gpulet/gpu"
)

// soname is what go-dcgm opens: a library that is loaded under this name already is the one that it gets.
const soname = "libdcgm.so.4"

// loaded is libdcgm in this process. It stays until the process ends: its threads may outlive a connection.
type loaded struct {
	handle unsafe.Pointer
	path   string
}

// load opens libdcgm and looks that it has what go-dcgm will call: a function that is not there would end the process.
func load(path, root string) (loaded, error) {
	l := loaded{path: cmp.Or(path, soname)}
	err := l.open()
	if err != nil && path == "" && root != "" {
		for _, dir := range libraryFolders() {
			at := filepath.Join(root, dir, soname)
			if _, e := os.Stat(at); e == nil {
				l.path = at
				err = l.open()
				break
			}
		}
	}
	if err != nil {
		return l, err
	}
	for _, f := range needed() {
		if !l.has(f) {
			return l, troublef(gpu.NoFunction, "%s lacks %s: it is not of DCGM 4", l.path, f)
		}
	}
	return l, nil
}

func (l *loaded) open() error {
	name := C.CString(l.path)
	defer C.free(unsafe.Pointer(name))
	if l.handle = C.gpulet_open(name); l.handle == nil {
		return troublef(gpu.NoSource, "DCGM cannot be loaded: %s", C.GoString(C.dlerror()))
	}
	return nil
}

// libraryFolders are where distributions keep libraries.
func libraryFolders() []string {
	return []string{"usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64", "usr/lib", "usr/local/dcgm/lib64"}
}

// has tells whether the library has a function.
func (l loaded) has(function string) bool {
	name := C.CString(function)
	defer C.free(unsafe.Pointer(name))
	return C.dlsym(l.handle, name) != nil
}

// needed are the functions that are called in any case.
func needed() []string {
	return []string{
		"errorString", "dcgmInit", "dcgmShutdown", "DcgmFieldGetById", "dcgmGetEntityGroupEntities", "dcgmEntitiesGetLatestValues",
		"dcgmGroupCreate", "dcgmGroupAddEntity", "dcgmGroupDestroy", "dcgmFieldGroupCreate", "dcgmFieldGroupDestroy",
		"dcgmWatchFields", "dcgmUnwatchFields", "dcgmUpdateAllFields",
	}
}
