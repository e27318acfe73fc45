/** `@ferry/react`: live queries and mutations of a Ferry hub's functions. */
export { FerryProvider, useFerry } from "./provider.js";
export { useMutation } from "./mutation.js";
export { useQuery } from "./query.js";
export { useStatus } from "./status.js";
