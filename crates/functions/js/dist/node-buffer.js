import{Buffer}from"ferry:core";export{Buffer};export const kMaxLength=2147483647;export default{Buffer,kMaxLength};
