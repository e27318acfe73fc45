/** `ferry dev` of a project, for all dev servers of this process. */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
/** Longest time until it serves, milliseconds. */
const START_MAX_MS = 60_000;
/** One that ended may have found that another one is about to serve, which has so long, milliseconds. */
const OTHER_MS = 3_000;
const LOOK_MS = 50;
const HEALTH_MS = 2_000;
/** How often another process's `ferry dev` is looked at, milliseconds. */
const WATCH_MS = 1_000;
/** One that lived shorter is not started again, milliseconds. */
const SHORT_LIFE_MS = 5_000;
// A dev server that restarts makes its successor before it ends, maybe with another copy of this module.
const ALL = Symbol.for("ferry.dev");
const all = (globalThis[ALL] ??= new Map());
export class DevHub {
    #users = new Set();
    #child;
    #serving;
    #watch;
    constructor(options) {
        this.options = options;
    }
    /** That of the project. */
    static of(options) {
        const hub = all.get(options.project) ?? new DevHub(options);
        all.set(options.project, hub);
        return hub;
    }
    /** Uses it until what is returned is called; with the last user it ends. */
    use(user) {
        this.#users.add(user);
        return () => {
            if (this.#users.delete(user) && !this.#users.size)
                this.#end();
        };
    }
    /** Where it serves; it is started if nobody did. */
    serving() {
        return (this.#serving ??= this.#start());
    }
    async #start() {
        const running = await this.#running();
        if (running) {
            this.#watchOther(running);
            return running;
        }
        const { binary, project, args } = this.options;
        const startedAt = Date.now();
        // What it prints is for the terminal; what it would ask has no one to answer beside Vite's own keys.
        const child = spawn(binary, ["dev", ...args], { cwd: project, stdio: ["ignore", "inherit", "inherit"] });
        this.#child = child;
        let failure;
        const fail = (message) => (failure ??= { message, at: Date.now() });
        child.once("error", (error) => fail(unstartable(binary, error)));
        child.once("exit", (code, signal) => fail(`ferry: \`ferry dev\` ended (${signal ?? `exit code ${code}`}); it says above why`));
        endWithProcess(child);
        const isHopeless = () => failure && (child.pid === undefined || Date.now() - failure.at > OTHER_MS);
        while (!isHopeless() && Date.now() - startedAt < START_MAX_MS) {
            const serving = await this.#running();
            if (serving && serving.pid !== child.pid)
                this.#watchOther(serving);
            else if (serving)
                child.once("exit", (code, signal) => this.#ended(child, startedAt, signal ?? `exit code ${code}`));
            if (serving)
                return serving;
            await pause(LOOK_MS);
        }
        child.kill();
        throw new Error(failure?.message ?? `ferry: \`ferry dev\` does not serve after ${START_MAX_MS / 1000} s: ${join(project, ".ferry/dev.json")} is missing`);
    }
    /** What serves now, of whomever. */
    async #running() {
        try {
            const serving = JSON.parse(await readFile(join(this.options.project, ".ferry/dev.json"), "utf8"));
            if (!isAlive(serving.pid))
                return undefined;
            // Another process may have got its number.
            return (await fetch(`${serving.url}/healthz`, { signal: AbortSignal.timeout(HEALTH_MS) })).ok ? serving : undefined;
        }
        catch {
            // It is not there yet, or half gone.
            return undefined;
        }
    }
    /** Another process started it: if that ends, this one goes on. */
    #watchOther({ pid }) {
        this.#watch = setInterval(() => {
            if (isAlive(pid))
                return;
            clearInterval(this.#watch);
            void this.#again();
        }, WATCH_MS);
        this.#watch.unref();
    }
    #ended(child, startedAt, how) {
        if (this.#child !== child || !this.#users.size)
            return;
        if (Date.now() - startedAt > SHORT_LIFE_MS)
            return void this.#again();
        this.#serving = undefined;
        this.#tell(`ferry: \`ferry dev\` ended (${how}); it says above why. Restart the dev server when that is mended.`);
    }
    async #again() {
        const before = await this.#serving?.catch(() => undefined);
        this.#serving = undefined;
        try {
            const { url, key } = await this.serving();
            if (url !== before?.url || key !== before.key)
                for (const user of [...this.#users])
                    user.onMoved();
        }
        catch (error) {
            this.#tell(error.message);
        }
    }
    #tell(message) {
        for (const { onTrouble } of [...this.#users])
            onTrouble(message);
    }
    #end() {
        all.delete(this.options.project);
        clearInterval(this.#watch);
        this.#child?.kill();
        this.#child = undefined;
    }
}
function isAlive(pid) {
    if (pid === undefined)
        return false;
    try {
        return process.kill(pid, 0);
    }
    catch (error) {
        return error.code === "EPERM";
    }
}
function unstartable(binary, error) {
    if (error.code !== "ENOENT")
        return `ferry: ${binary} cannot be started: ${error.message}`;
    return `ferry: there is no program ${JSON.stringify(binary)}, which runs the functions. Build it in a checkout of Ferry ` +
        "(`cargo build --release` makes target/release/ferry) and put it on the PATH, or name it: FERRY_BIN=/path/to/ferry, or " +
        'ferry({ binary: "/path/to/ferry" }) in vite.config.';
}
/** Ends the child with this process, also by a signal, of which Node itself does not tell. */
function endWithProcess(child) {
    const end = () => void child.kill();
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
    const onSignal = (signal) => {
        end();
        forget();
        // As if nobody had listened; who else listens ends the process in his own way.
        if (!process.listenerCount(signal))
            process.kill(process.pid, signal);
    };
    const forget = () => {
        process.off("exit", end);
        for (const signal of signals)
            process.off(signal, onSignal);
    };
    process.on("exit", end);
    for (const signal of signals)
        process.on(signal, onSignal);
    child.once("exit", forget);
}
