// Package apply is the only writer of hardware: it creates and destroys GPU instances and changes MIG modes, one step at a time on
// each GPU, with a journal before each step. It owns the journal and the account of what gpulet made. It never destroys what
// anybody uses, may still be given, or that gpulet did not make; any doubt means keep.
package apply
