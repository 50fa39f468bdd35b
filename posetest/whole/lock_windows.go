package whole

import "os"

// canReplaceOpen tells whether a file that is open can be renamed, replaced and removed.
const canReplaceOpen = false

func claim(*os.File) bool { return true }

func sweepOne(string) {}
