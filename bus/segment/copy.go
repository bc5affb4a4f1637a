package segment

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/stave-run/stave/bus/sealed"
)

// ForeignError says that a directory holds another log's segments, or that there
// is a hole between what it has and what would come to it.
type ForeignError struct {
	Dir string
	Why string
}

// Error implements error.
func (e *ForeignError) Error() string { return fmt.Sprintf("%s: %s", e.Dir, e.Why) }

// CopyTo copies the segments in service into another archive of the same log: what
// that has not yet, and what is damaged there. Nothing is copied to another log's.
func (a *Archive) CopyTo(ctx context.Context, to *Archive) (copied int, err error) {
	all, there := a.segments(), to.segments()
	if err := continues(all, there, to.dir); err != nil {
		return 0, err
	}
	for _, s := range all {
		if slices.ContainsFunc(there, func(x *segment) bool { return x.Chain == s.Chain }) {
			continue
		}
		if ctx.Err() != nil {
			return copied, ctx.Err()
		}
		if err := sealed.Copy(s.path, filepath.Join(to.dir, filepath.Base(s.path)), kind); err != nil {
			return copied, err
		}
		copied++
	}
	return copied, nil
}

// continues tells why segments are not those, or the continuation of those, that
// are in a directory already.
func continues(all, there []*segment, dir string) error {
	if len(all) == 0 || len(there) == 0 {
		return nil
	}
	last := there[len(there)-1]
	common := false
	for _, s := range all {
		i := slices.IndexFunc(there, func(x *segment) bool { return x.First <= s.Last && s.First <= x.Last })
		if i >= 0 && there[i].Chain != s.Chain {
			return &ForeignError{dir, fmt.Sprintf("it has other events from %d to %d: it is the archive of another log", there[i].First, there[i].Last)}
		}
		common = common || i >= 0
	}
	switch first := all[0]; {
	case common || first.Prev == last.Chain:
		return nil
	case first.First > last.Last+1:
		return &ForeignError{dir, fmt.Sprintf("it ends at %d and the log begins at %d: what lay in between was cut off before it was archived", last.Last, first.First)}
	}
	return &ForeignError{dir, fmt.Sprintf("it ends at %d, and this log does not follow on it: it is the archive of another one", last.Last)}
}
