// One check of a project: what is wrong with it, or else its API.
import { apiText } from "./api.js";
import { diagnosticsOf } from "./diagnostics.js";
import { openProject } from "./project.js";
import { loadTypeScript } from "./typescript.js";
/**
 * Checks the project in the folder `project`, whose functions stand in `directory`, as often as it is asked.
 * @throws Fatal if the project has no TypeScript that can.
 */
export function checkerOf(project, directory) {
    const typescript = loadTypeScript(project);
    const opened = openProject(typescript, project, directory);
    const check = () => {
        const begun = performance.now();
        const program = opened.program();
        const diagnostics = diagnosticsOf(typescript, opened, program);
        const entry = opened.entry();
        const ok = diagnostics.length === 0;
        const apiDts = ok ? apiText(typescript, program, entry ? program.getSourceFile(entry) : undefined) : undefined;
        return { ok, ...(apiDts !== undefined && { apiDts }), diagnostics, ms: Math.round(performance.now() - begun) };
    };
    return {
        check,
        warmUp() {
            opened.invalidate();
            check();
        },
    };
}
