// What the module asks of its host: the few functions of WASI (preview 1) that Rust's standard library calls for a clock,
// for threads and for the text of a panic. There are no files, no arguments and no environment.

const SUCCESS = 0;
const BAD_DESCRIPTOR = 8;

/** The functions that a module imports, for an instance whose memory `memory()` gives once it is there. */
export function imports(memory: () => WebAssembly.Memory, said: (text: string) => void): WebAssembly.ModuleImports {
    const view = () => new DataView(memory().buffer);
    const bytes = (address: number, length: number) => new Uint8Array(memory().buffer, address, length);
    let line = "";
    const none = (count: number, size: number) => {
        view().setUint32(count, 0, true);
        view().setUint32(size, 0, true);
        return SUCCESS;
    };
    return {
        args_sizes_get: none,
        args_get: () => SUCCESS,
        environ_sizes_get: none,
        environ_get: () => SUCCESS,
        clock_time_get(clock: number, _precision: bigint, result: number) {
            const milliseconds = clock === 0 ? Date.now() : performance.now();
            view().setBigUint64(result, BigInt(Math.round(milliseconds * 1e6)), true);
            return SUCCESS;
        },
        sched_yield: () => SUCCESS,
        random_get(address: number, length: number) {
            // `getRandomValues` takes no shared memory.
            const values = new Uint8Array(length);
            for (let at = 0; at < length; at += 65_536) {
                crypto.getRandomValues(values.subarray(at, at + 65_536));
            }
            bytes(address, length).set(values);
            return SUCCESS;
        },
        fd_write(descriptor: number, pieces: number, count: number, written: number) {
            if (descriptor !== 1 && descriptor !== 2) return BAD_DESCRIPTOR;
            let total = 0;
            for (let i = 0; i < count; i++) {
                const address = view().getUint32(pieces + 8 * i, true);
                const length = view().getUint32(pieces + 8 * i + 4, true);
                line += new TextDecoder().decode(bytes(address, length).slice());
                total += length;
            }
            for (let end = line.indexOf("\n"); end >= 0; end = line.indexOf("\n")) {
                said(line.slice(0, end));
                line = line.slice(end + 1);
            }
            view().setUint32(written, total, true);
            return SUCCESS;
        },
        fd_close: () => BAD_DESCRIPTOR,
        fd_seek: () => BAD_DESCRIPTOR,
        fd_read: () => BAD_DESCRIPTOR,
        fd_fdstat_get: () => BAD_DESCRIPTOR,
        fd_prestat_get: () => BAD_DESCRIPTOR,
        fd_prestat_dir_name: () => BAD_DESCRIPTOR,
        fd_filestat_get: () => BAD_DESCRIPTOR,
        path_open: () => BAD_DESCRIPTOR,
        path_filestat_get: () => BAD_DESCRIPTOR,
        path_create_directory: () => BAD_DESCRIPTOR,
        path_link: () => BAD_DESCRIPTOR,
        path_readlink: () => BAD_DESCRIPTOR,
        path_remove_directory: () => BAD_DESCRIPTOR,
        path_rename: () => BAD_DESCRIPTOR,
        path_unlink_file: () => BAD_DESCRIPTOR,
        fd_readdir: () => BAD_DESCRIPTOR,
        fd_filestat_set_size: () => BAD_DESCRIPTOR,
        fd_sync: () => BAD_DESCRIPTOR,
        poll_oneoff: () => SUCCESS,
        proc_exit(code: number) {
            throw new WebAssembly.RuntimeError(`the module ended with code ${code}`);
        },
    };
}
