// Class names from a person's file.

/** The names in a JSON array, or in a text of a class a line, of which ImageNet's identifiers are left out. */
export function names(text: string): string[] {
    if (text.trimStart().startsWith("[")) {
        const parsed: unknown = JSON.parse(text);
        if (!Array.isArray(parsed) || parsed.some((name) => typeof name !== "string")) {
            throw new Error("labels: expected an array of strings");
        }
        return parsed as string[];
    }
    const lines = text.split(/\r?\n/);
    while (lines.at(-1)?.trim() === "") lines.pop();
    return lines.map((line) => line.trim().replace(/^n\d{8}\s+/, ""));
}
