package manifest

// The limits of what is read. They are far above what people write and keep
// what they don't from costing more than its size.
const (
	// MaxBytes is the largest file.
	MaxBytes = 48 << 20
	// MaxDocuments is the most objects in one file, those in Lists included.
	MaxDocuments = 100_000
	// MaxDocument is the largest single document, in bytes. The log takes 7 MiB.
	MaxDocument = 4 << 20
	// MaxNodes is the most values in one document, aliases copied out.
	MaxNodes = 400_000
	// MaxDepth is how deep values may nest.
	MaxDepth = 64
	// MaxProblems is how many problems of one file are reported.
	MaxProblems = 200
)
